"""Rows: a mapping applied to a block of rows, a field at a time.

Real columns repeat themselves (a vehicle type, a station, a price with two decimals), so every
field keeps a bounded memory of the texts it has read: a text is parsed once, and each later row
costs a look-up. One set of rules serves every file format, and a row's result never depends on the
rows around it.

Where the mapping has a pseudonym, natural ids end here: neither the batch nor a refused row has
one. The bytes of a refused row are then its other columns as JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from producers.pseudonyms import NoKeyError, Pseudonyms
from producers.rules import FileMapping, MappedField, UnmappableError, Value, field_reader
from producers.targets import targets
from schemas.columns import arrow_schema

MEMORY_ENTRIES_MAX = 100_000

Texts = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class UnmappedRow:
    """A row that did not become a record: where it stands, why not, and its bytes in the file."""

    file: str
    line: int
    code: str
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of rows on their way through the mapping.

    Attributes:
        columns: The texts of each column the mapping reads, by name, each of shape (n,).
        lines: The line each row begins on, from 1, shape (n,).
        raws: Gives the bytes of row i.
    """

    columns: Mapping[str, Texts]
    lines: Sequence[int]
    raws: Callable[[int], bytes]


class _Memory(dict[Any, Value]):
    """What a field has read before, by the text or texts; problems are kept beside."""

    def __init__(self, read: Callable[[Any], Value]) -> None:
        super().__init__()
        self.read = read
        self.problems: dict[Any, UnmappableError] = {}

    def __missing__(self, key: Any) -> Value:
        try:
            value = self.read(key)
        except UnmappableError as problem:
            self.problems[key] = problem
            value = None
        self[key] = value
        return value


class _FieldColumn:
    """One field of the record, computed a block at a time."""

    def __init__(self, field: MappedField, mapping: FileMapping) -> None:
        self.names = field.columns
        read = field_reader(field, mapping)
        names = self.names
        # A field of one column is remembered by its text, any other by the tuple of its texts.
        one = (lambda text: read({names[0]: text})) if len(names) == 1 else None
        self.memory = _Memory(one or (lambda texts: read(dict(zip(names, texts, strict=True)))))

    def of(self, rows: Rows, problems: dict[int, UnmappableError]) -> list[Value]:
        """Return the field of every row; rows without a usable value are added to `problems`."""
        memory = self.memory
        if len(memory) > MEMORY_ENTRIES_MAX:
            memory.clear()
            memory.problems.clear()
        columns = [rows.columns[name] for name in self.names]
        keys: Sequence[Any]
        match columns:
            case []:
                keys = [()] * len(rows.lines)
            case [column]:
                keys = column
            case _:
                keys = list(zip(*columns, strict=True))
        values = list(map(memory.__getitem__, keys))
        if memory.problems and not memory.problems.keys().isdisjoint(keys):
            for row, key in enumerate(keys):
                problem = memory.problems.get(key)
                if problem is not None:
                    problems.setdefault(row, problem)
        return values


class RowMapper:
    """Turns blocks of rows into batches of one record.

    Raises:
        ValueError: The mapping has a pseudonym, and nobody gave the keys.
    """

    def __init__(self, mapping: FileMapping, pseudonyms: Pseudonyms | None = None) -> None:
        self.natural_columns = mapping.natural_columns
        if self.natural_columns and pseudonyms is None:
            raise ValueError(f"mapping {mapping.name} has a pseudonym: it needs the keys")
        self.pseudonyms = pseudonyms if self.natural_columns else None
        self.schema = arrow_schema(mapping.record)
        self.columns = {f.target.name: _FieldColumn(f, mapping) for f in mapping.fields}
        self.targets = targets(mapping.record)

    def batch(self, rows: Rows, *, file: str) -> tuple[pa.RecordBatch, list[UnmappedRow]]:
        """Return the record of every row that can be mapped, in order, and the rows that can't.

        A row with several problems is refused for the first, in the order of the record's fields.
        """
        problems: dict[int, UnmappableError] = {}
        values = {name: column.of(rows, problems) for name, column in self.columns.items()}
        if self.pseudonyms is not None:
            values["account_id"] = _replaced(values, self.pseudonyms, problems)
        kept = [row for row in range(len(rows.lines)) if row not in problems] if problems else None
        count = len(rows.lines) - len(problems)
        arrays: list[pa.Array] = []
        for target in self.targets:
            kind = self.schema.field(target.name).type
            column = values.get(target.name)
            if column is None:
                arrays.append(pa.array([target.default] * count, kind))
            else:
                arrays.append(pa.array(column if kept is None else [column[r] for r in kept], kind))
        refused = [
            UnmappedRow(file, rows.lines[row], problem.code, problem.reason, self._raw(rows, row))
            for row, problem in sorted(problems.items())
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), refused

    def _raw(self, rows: Rows, row: int) -> bytes:
        if self.pseudonyms is None:
            return rows.raws(row)
        shown = rows.columns.keys() - self.natural_columns
        texts = {name: column[row] for name, column in rows.columns.items() if name in shown}
        return json.dumps(texts, ensure_ascii=False).encode()


def _replaced(
    values: Mapping[str, Sequence[Value]],
    pseudonyms: Pseudonyms,
    problems: dict[int, UnmappableError],
) -> list[Value]:
    """Return the pseudonym of each row's account; rows of a programme without a key are refused."""
    programmes = values["programme"]
    natural_ids = cast(Sequence[str], values["account_id"])
    different = set(programmes)
    if len(different) == 1 and not problems:
        groups: dict[Value, Sequence[int]] = {programmes[0]: range(len(programmes))}
    else:
        # A row that is refused already may lack either.
        good = [row for row in range(len(programmes)) if row not in problems]
        groups = {name: [row for row in good if programmes[row] == name] for name in different}
    replaced: list[Value] = [None] * len(programmes)
    for name, at in groups.items():
        if not at:
            continue
        try:
            made = pseudonyms.of_many(str(name), [natural_ids[row] for row in at])
        except NoKeyError as wrong:
            problems |= dict.fromkeys(at, UnmappableError("row_bad_value", f"programme: {wrong}"))
            continue
        for row, pseudonym in zip(at, made, strict=True):
            replaced[row] = pseudonym
    return replaced
