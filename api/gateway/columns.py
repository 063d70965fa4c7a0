"""Columns: a body of many lines is read, checked and written as columns, in a third of the time.

That is done only where all of it is in order: each line a record, with the right fields and types,
of the sender, in the accepted range. If anything is not, there is no answer here, and the body goes
the way of single records, which knows what to tell of each. So both ways must come to the same
bytes wherever this one comes to any; a test holds them against each other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from api.gateway.documents import INSTANTS, KINDS
from carbon.accept import (
    NEGATIVE,
    NOT_GIVEN,
    Broken,
    broken_by_future,
    broken_by_message,
    broken_by_session,
    broken_by_trip,
)
from carbon.exact import Int64Array
from carbon.limits import TEXT_BYTES_MAX
from producers.adapters.outcome import Sender
from producers.client.records import ChargingSession
from producers.targets import targets
from schemas.columns import encode
from schemas.framing import VALUE_BYTES_MAX

LINES_LEAST: Final = 32
"""Fewer are read one by one in less time."""

_WARM: Final = {"string": "x", "int": 1, "long": 1, "instant": 1}
_TYPES: Final = {"int": pa.int32(), "long": pa.int64(), "instant": pa.int64()}


@dataclass(frozen=True, slots=True)
class Written:
    """Records as they go to the broker.

    Attributes:
        ids: session_id or trip_id of each.
        accounts: account_id of each.
        revisions: revision of each.
        values: Their messages' values.
    """

    ids: Sequence[str]
    accounts: Sequence[str]
    revisions: Sequence[int]
    values: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.ids)


def lines_in(body: bytes) -> int:
    """Return how many lines a body has, 0 if one of them is no object as far as its ends tell.

    >>> [lines_in(body) for body in (b'{}\\n{}\\n', b'{"a":1}', b'{}\\n\\n{}', b'[]')]
    [2, 1, 0, 0]
    """
    text = body.strip()
    breaks = text.count(b"\n")
    is_whole = text[:1] == b"{" and text[-1:] == b"}" and text.count(b"}\n{") == breaks
    return breaks + 1 if is_whole else 0


class Columns:
    """Reads bodies of many lines; one of a sender and a record. Any thread may, but for pseudonyms.

    Args:
        sender: Whose they are.
        record: What they are.
    """

    def __init__(self, sender: Sender, record: str) -> None:
        self.sender, self._record = sender, record
        self._fields = targets(record)
        self._schema = pa.schema(
            [pa.field(field.name, _TYPES.get(field.kind, pa.string())) for field in self._fields]
        )
        self._given: dict[str, Any] = {
            **{field.name: field.default for field in self._fields if field.has_default},
            "source": sender.source,
            "programme": sender.programme,
        }
        self._id, self._is_session = KINDS[record]._fields[0], KINDS[record] is ChargingSession
        self._start, self._end = INSTANTS[KINDS[record]]

    def written(self, body: bytes, count: int, timestamp_ms: int) -> Written | None:
        """Return the records of a body, or None where anything about it is not in order.

        Args:
            body: Lines.
            count: How many they are, as `lines_in` has it.
            timestamp_ms: The timestamp of their messages.
        """
        batch = self._parsed(body, count)
        if batch is None or not self._is_sound(batch, timestamp_ms):
            return None
        accounts = batch["account_id"].to_pylist()
        if self.sender.pseudonyms is not None:
            natural_ids = [account.strip() for account in accounts]
            if not all(natural_ids):
                return None
            accounts = self.sender.pseudonyms.of_many(self.sender.programme, natural_ids)
            at = batch.schema.get_field_index("account_id")
            batch = batch.set_column(at, "account_id", pa.array(accounts, pa.string()))
        values = encode(self._record, batch)
        if max(map(len, values)) > VALUE_BYTES_MAX:
            return None
        return Written(batch[self._id].to_pylist(), accounts, batch["revision"].to_pylist(), values)

    def _parsed(self, body: bytes, count: int) -> pa.RecordBatch | None:
        """Return the lines as columns without nulls, but where the record may have them."""
        try:
            table = pj.read_json(
                pa.BufferReader(body),
                # One block: a body is small, and has a thread of its own.
                read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
                parse_options=pj.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="error"
                ),
            )
            table.validate(full=True)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        if table.num_rows != count:
            return None
        (batch,) = table.combine_chunks().to_batches()
        columns = []
        for field in self._fields:
            column = batch[field.name]
            if column.null_count:
                default = self._given.get(field.name)
                # A null that is written down is no missing field.
                if field.name not in self._given or (
                    default is not None and f'"{field.name}"'.encode() in body
                ):
                    return None
                column = column if default is None else column.fill_null(default)
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _is_sound(self, batch: pa.RecordBatch, timestamp_ms: int) -> bool:
        """Return whether no record breaks a rule."""
        for name in ("source", "programme"):
            if not pc.all(pc.equal(batch[name], self._given[name])).as_py():
                return False
        for field in self._fields:
            if field.kind == "enum":
                known = pc.is_in(batch[field.name], pa.array(field.symbols))
                if not pc.all(known).as_py():
                    return False
        if not all(map(_names, (batch[self._id], batch["account_id"], batch["source"]))):
            return False
        return not any(np.any(broken) for broken, _ in self._rules(batch, timestamp_ms))

    def _rules(self, batch: pa.RecordBatch, timestamp_ms: int) -> Broken:
        start, end = _numbers(batch[self._start]), _numbers(batch[self._end])
        written_at = np.full(len(end), timestamp_ms, np.int64)
        rules = (
            *broken_by_message(written_at, _numbers(batch["revision"])),
            *broken_by_future(end, written_at),
        )
        if self._is_session:
            return (*rules, *broken_by_session(_numbers(batch["energy_wh"]), start, end))
        used = batch["energy_used"]
        given = _numbers(used.fill_null(0))
        return (
            *rules,
            *broken_by_trip(
                departed_at=start,
                arrived_at=end,
                distance_m=_numbers(batch["distance_m"]),
                empty_distance_m=_numbers(batch["empty_distance_m"]),
                cargo_kg=_numbers(batch["cargo_kg"]),
                energy_used=np.where(
                    used.is_null().to_numpy(zero_copy_only=False),
                    NOT_GIVEN,
                    np.where(given < 0, NEGATIVE, given),
                ),
            ),
        )


def warm_up() -> None:
    """Load and compile all that reading takes, which the first body would wait seconds for."""
    sender = Sender(source="warm", programme="warm")
    for record in KINDS:
        columns = Columns(sender, record)
        line = json.dumps(
            {
                field.name: field.symbols[0] if field.kind == "enum" else _WARM[field.kind]
                for field in targets(record)
                if not field.has_default
            }
            | {"source": "warm", "programme": "warm"}
        ).encode()
        assert columns.written(b"\n".join([line] * LINES_LEAST), LINES_LEAST, 1) is not None


def _numbers(column: pa.Array) -> Int64Array:
    numbers: Int64Array = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _names(column: pa.StringArray) -> bool:
    """Return whether each text can be part of an identity."""
    sizes = pc.binary_length(column)
    least, most = pc.min_max(sizes).as_py().values()
    has_zero = pc.any(pc.match_substring(column, "\0")).as_py()
    return least > 0 and most <= TEXT_BYTES_MAX and not has_zero
