"""Fields: one field of the record, computed for a block of rows at a time.

What `quick` reads is done. Of all other rows each distinct text is read once, by the rules, and
remembered: real columns repeat themselves (a vehicle type, a station, a price with two decimals).
A row's result never depends on the rows around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.quick import quick_of
from producers.rules import FileMapping, MappedField, UnmappableError, Value, field_reader
from schemas.kernel import Int64Array

MEMORY_ENTRIES_MAX: Final = 100_000

REPEATS_MIN: Final = 4
"""Words that come so often, on average, stay codes: spelt out they take time and memory."""

Problems = dict[int, UnmappableError]
"""Why rows cannot be mapped, by row."""


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


class FieldColumn:
    """One field of the record."""

    def __init__(self, field: MappedField, mapping: FileMapping, kind: pa.DataType) -> None:
        self.names = field.columns
        self.kind = kind
        self.quick = quick_of(field, mapping)
        read = field_reader(field, mapping)
        names = self.names
        # A field of one column is remembered by its text, any other by the tuple of its texts.
        one = (lambda text: read({names[0]: text})) if len(names) == 1 else None
        self.memory = _Memory(one or (lambda texts: read(dict(zip(names, texts, strict=True)))))

    def of(self, columns: Mapping[str, Any], count: int, problems: Problems) -> Any:
        """Return the field of every row; rows without a usable value are added to `problems`.

        Words that repeat may come as a dictionary. Rows with a problem are null.
        """
        if len(self.memory) > MEMORY_ENTRIES_MAX:
            self.memory.clear()
            self.memory.problems.clear()
        every = np.arange(count)
        if not self.names:
            return self._read([], every, problems)
        taken = [columns[name] for name in self.names]
        quick = self.quick
        if quick is None or pa.types.is_dictionary(columns[quick.column].type):
            return self._read(taken, every, problems)
        first = columns[quick.column]
        if pa.types.is_timestamp(first.type) and quick.timestamps is not None:
            values, good = quick.timestamps(first)
        else:
            values, good = quick.texts(as_texts(first))
        if good.all():
            return values.cast(self.kind)
        left = np.flatnonzero(~good)
        rest = self._read([column.take(pa.array(left)) for column in taken], left, problems)
        if len(left) == count:
            return rest
        if pa.types.is_dictionary(rest.type):
            rest = rest.dictionary_decode()
        return pc.replace_with_mask(values.cast(self.kind), pa.array(~good), rest)

    def _read(self, columns: Sequence[Any], rows: Int64Array, problems: Problems) -> Any:
        """Return the field of some rows by its rules, each distinct key read once."""
        codes, keys = _distinct(columns, len(rows))
        memory = self.memory
        values = [memory[key] for key in keys]
        bad = np.array([key in memory.problems for key in keys], dtype=np.bool_)
        if bad.any():
            for at in np.flatnonzero(bad[codes]).tolist():
                problems.setdefault(int(rows[at]), memory.problems[keys[codes[at]]])
        words = pa.array(values, self.kind)
        coded = pa.types.is_string(self.kind) and not words.null_count
        indices = pa.array(codes.astype(np.int32))
        if coded and len(keys) * REPEATS_MIN <= max(len(rows), REPEATS_MIN):
            return pa.DictionaryArray.from_arrays(indices, words)
        return words.take(indices)


def as_texts(column: Any) -> Any:
    """Return a column as strings: doubles as their shortest digits, times in ISO 8601.

    Raises:
        pa.ArrowNotImplementedError: Its values are no single ones.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _distinct(columns: Sequence[Any], count: int) -> tuple[Int64Array, list[Any]]:
    """Return a code for each row, and the key that each code stands for."""
    if not columns:
        return np.zeros(count, dtype=np.int64), [()] if count else []
    parts = [_coded(column) for column in columns]
    if len(parts) == 1:
        return parts[0]
    mixed = np.zeros(count, dtype=np.int64)
    for codes, words in parts:
        # Of two columns a block has fewer pairs than rows, so that no product is too large.
        mixed = np.unique(mixed * max(len(words), 1) + codes, return_inverse=True)[1]
    _, firsts, codes = np.unique(mixed, return_index=True, return_inverse=True)
    keys = [tuple(words[part[row]] for part, words in parts) for row in firsts.tolist()]
    return codes, keys


def _coded(column: Any) -> tuple[Int64Array, list[str | None]]:
    """Return the codes and the texts of a column; a null is a text of its own."""
    if not pa.types.is_dictionary(column.type) or column.null_count:
        column = pc.dictionary_encode(as_texts(column), null_encoding="encode")
    codes: Int64Array = column.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, as_texts(column.dictionary).to_pylist()
