"""Load: files go through a mapping into Kafka, and nothing of them is lost on the way.

Each row of each file ends as a record on its topic or as a refusal on `refusals`; `Loaded.rows` is
their sum. While one block is on its way to the broker the next is read, so the slower of the two
sets the pace.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from producers.client.columns import CarbonflowProducer
from producers.files import ROWS_MAX, columns_row, read_file
from producers.pseudonyms import Pseudonyms
from producers.rules import FileMapping


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is, for a progress bar."""

    file: Path
    done_bytes: int
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the rows.

    Attributes:
        rows: Rows read.
        sent: Records acknowledged by the broker.
        refused: Rows refused, by code.
    """

    rows: int
    sent: int
    refused: Mapping[str, int]


async def load_files(
    paths: Sequence[Path],
    *,
    mapping: FileMapping,
    producer: CarbonflowProducer,
    progress: Callable[[Progress], None],
    pseudonyms: Pseudonyms | None = None,
    rows_max: int = ROWS_MAX,
) -> Loaded:
    """Send the rows of the files, one file after the other, until the broker has them all.

    Args:
        paths: Files of the same mapping.
        mapping: How their columns become records.
        producer: An open producer, which takes accounts as they come: it has no pseudonyms of its
            own.
        progress: Called after each block that was acknowledged.
        pseudonyms: What replaces natural ids; needed where the mapping has a pseudonym.
        rows_max: Rows read at once.

    Raises:
        UnreadableFileError, MappingError: As `read_file`; the blocks before it are sent.
        aiokafka.errors.KafkaError: The broker did not take a block.
    """
    sent = 0
    refused: Counter[str] = Counter()
    for path in paths:
        rows = 0
        columns = columns_row(path, mapping)
        with closing(read_file(path, mapping, pseudonyms, rows_max=rows_max)) as blocks:
            block = await asyncio.to_thread(next, blocks, None)
            while block is not None:
                reading = asyncio.create_task(asyncio.to_thread(next, blocks, None))
                try:
                    sent += await producer.send_batch(mapping.record, block.batch)
                    await producer.send_refusals(block.refused, columns=columns)
                finally:
                    # Awaited even if sending failed: a thread can't be cancelled, and it holds
                    # the file that is closed next.
                    upcoming = await reading
                refused.update(row.code for row in block.refused)
                rows += block.batch.num_rows + len(block.refused)
                progress(Progress(path, block.done_bytes, block.size_bytes, rows))
                block = upcoming
    return Loaded(sent + refused.total(), sent, dict(refused))
