"""Load: files and queries go through a mapping into Kafka, and nothing is lost on the way.

Each row ends as a record on its topic or as a refusal on `refusals`; `Loaded.rows` is their sum.
While some blocks are on their way to the broker the next is read, so the slower of the two sets the
pace. With a checkpoint a load that was stopped goes on behind what was acknowledged.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from producers.checkpoint import Checkpoint, Reached
from producers.client.columns import CarbonflowProducer
from producers.files import ROWS_MAX, MappedRows, columns_row, read_file
from producers.locations import Source, local
from producers.pseudonyms import Pseudonyms
from producers.rules import FileMapping

ON_THEIR_WAY_MAX = 3
"""Blocks that are handed over and not yet acknowledged: what bounds the memory."""


class Feed(Protocol):
    """What rows come from: a file, or a query."""

    @property
    def name(self) -> str:
        """What messages and refusals call it."""

    @property
    def version(self) -> str:
        """Another one says that it isn't the same any more."""

    @property
    def grows(self) -> bool:
        """Whether there may be more behind what was read to its end."""

    def columns(self, mapping: FileMapping) -> str:
        """Return the first row of CSV, which refusals carry; empty where there is none."""

    def blocks(
        self, mapping: FileMapping, pseudonyms: Pseudonyms | None, reached: Reached, rows_max: int
    ) -> Generator[MappedRows]:
        """Yield the rows behind what was reached."""


@dataclass(frozen=True, slots=True)
class FileFeed:
    """The rows of a file."""

    source: Source

    @property
    def name(self) -> str:
        """Its path or address."""
        return self.source.name

    @property
    def version(self) -> str:
        """Its size and when it was written."""
        return self.source.version

    @property
    def grows(self) -> bool:
        """A file that grew is another version of it."""
        return False

    def columns(self, mapping: FileMapping) -> str:
        """Return its first row, if it is CSV."""
        return columns_row(self.source, mapping)

    def blocks(
        self, mapping: FileMapping, pseudonyms: Pseudonyms | None, reached: Reached, rows_max: int
    ) -> Generator[MappedRows]:
        """Yield its rows behind what was reached."""
        return read_file(
            self.source,
            mapping,
            pseudonyms,
            rows_max=rows_max,
            begun=reached.behind,
            coded=True,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is, for a progress bar; size_bytes is 0 where nobody knows."""

    file: str
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
        done_before: Sources that an earlier load had read to their end.
        gone_on: Sources that an earlier load had begun.
    """

    rows: int
    sent: int
    refused: Mapping[str, int]
    done_before: int = 0
    gone_on: int = 0


@dataclass(slots=True)
class _Totals:
    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    done_before: int = 0
    gone_on: int = 0

    def loaded(self) -> Loaded:
        rows = self.sent + self.refused.total()
        return Loaded(rows, self.sent, dict(self.refused), self.done_before, self.gone_on)


async def load_files(
    paths: Sequence[Path | Source],
    *,
    mapping: FileMapping,
    producer: CarbonflowProducer,
    progress: Callable[[Progress], None],
    pseudonyms: Pseudonyms | None = None,
    rows_max: int = ROWS_MAX,
    checkpoint: Checkpoint | None = None,
) -> Loaded:
    """Send the rows of the files, one file after the other; see `load`."""
    return await load(
        [FileFeed(local(path) if isinstance(path, Path) else path) for path in paths],
        mapping=mapping,
        producer=producer,
        progress=progress,
        pseudonyms=pseudonyms,
        rows_max=rows_max,
        checkpoint=checkpoint,
    )


async def load(
    feeds: Sequence[Feed],
    *,
    mapping: FileMapping,
    producer: CarbonflowProducer,
    progress: Callable[[Progress], None],
    pseudonyms: Pseudonyms | None = None,
    rows_max: int = ROWS_MAX,
    checkpoint: Checkpoint | None = None,
) -> Loaded:
    """Send the rows of some feeds, one after the other, until the broker has them all.

    Args:
        feeds: Where rows of the same mapping come from.
        mapping: How their columns become records.
        producer: An open producer, which takes accounts as they come: it has no pseudonyms of its
            own.
        progress: Called after each block that was acknowledged.
        pseudonyms: What replaces natural ids; needed where the mapping has a pseudonym.
        rows_max: Rows read at once.
        checkpoint: Where to go on, and to be told how far it has come.

    Raises:
        UnreadableFileError, MappingError: As `read_file`; the blocks before it are sent.
        QueryError: A database says no; the blocks before it are sent.
        CheckpointError: The checkpoint is of another mapping.
        aiokafka.errors.KafkaError: The broker did not take a block.
    """
    totals = _Totals()
    for feed in feeds:
        reached = Reached(version=feed.version)
        if checkpoint is not None:
            reached = checkpoint.of(mapping, feed.name, feed.version)
        if reached.is_done and not feed.grows:
            totals.done_before += 1
            continue
        totals.gone_on += reached.behind.rows > 0
        sending = _Sending(feed, mapping, producer, progress, checkpoint, totals, reached)
        with closing(feed.blocks(mapping, pseudonyms, reached, rows_max)) as blocks:
            await sending.all_of(blocks)
    return totals.loaded()


def _reading(blocks: Generator[MappedRows]) -> asyncio.Task[MappedRows | None]:
    """Return the next block, being read on a thread."""
    return asyncio.create_task(asyncio.to_thread(next, blocks, None))


class _Sending:
    """One feed on its way: blocks that were handed over, and what is known to have arrived."""

    def __init__(
        self,
        feed: Feed,
        mapping: FileMapping,
        producer: CarbonflowProducer,
        progress: Callable[[Progress], None],
        checkpoint: Checkpoint | None,
        totals: _Totals,
        reached: Reached,
    ) -> None:
        self._feed = feed
        self._mapping = mapping
        self._producer = producer
        self._progress = progress
        self._checkpoint = checkpoint
        self._totals = totals
        self._reached = reached
        self._rows = 0
        self._on_their_way: deque[tuple[MappedRows, asyncio.Task[int]]] = deque()

    async def all_of(self, blocks: Generator[MappedRows]) -> None:
        """Send all blocks and wait until the broker has them."""
        columns = self._feed.columns(self._mapping)
        reading = _reading(blocks)
        try:
            # Shielded: a thread can't be cancelled, and it holds the file that is closed next.
            while (block := await asyncio.shield(reading)) is not None:
                reading = _reading(blocks)
                sent = await self._producer.hand_over(self._mapping.record, block.batch)
                self._on_their_way.append((block, sent))
                await self._producer.send_refusals(block.refused, columns=columns)
                while len(self._on_their_way) >= ON_THEIR_WAY_MAX:
                    await self._arrived()
            await self._all_arrived()
        except BaseException as wrong:
            await asyncio.wait([reading])
            if reading.exception() is wrong:
                # What could be read before it counts.
                await self._all_arrived()
            # Else what was handed over may arrive yet; a load that goes on sends it again.
            for _, sent in self._on_their_way:
                sent.cancel()
            await asyncio.gather(*(sent for _, sent in self._on_their_way), return_exceptions=True)
            raise
        self._note(replace(self._reached, is_done=True))

    async def _all_arrived(self) -> None:
        while self._on_their_way:
            await self._arrived()

    async def _arrived(self) -> None:
        """Wait for the block that was handed over first."""
        block, sending = self._on_their_way[0]
        sent = await sending
        self._on_their_way.popleft()
        refused = Counter(row.code for row in block.refused)
        self._totals.sent += sent
        self._totals.refused.update(refused)
        self._rows += sent + refused.total()
        self._note(
            self._reached.after(block.behind, sent=sent, refused=refused, cursor=block.cursor)
        )
        name = self._feed.name
        self._progress(Progress(name, block.done_bytes, block.size_bytes, self._rows))

    def _note(self, reached: Reached) -> None:
        self._reached = reached
        if self._checkpoint is not None:
            self._checkpoint.note(self._mapping, self._feed.name, reached)
