"""Rows: a mapping applied to a block of rows, a field at a time (`fields`).

One set of rules serves every format and every database. Where the mapping has a pseudonym, natural
ids end here: neither the batch nor a refused row has one. The bytes of a refused row are then its
other columns as JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.fields import FieldColumn, Problems, as_texts
from producers.pseudonyms import NoKeyError, Pseudonyms
from producers.rules import FileMapping, UnmappableError
from producers.targets import targets
from schemas.columns import arrow_schema
from schemas.kernel import Int64Array


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
        columns: Each column the mapping reads, by name, each of shape (n,): strings, words as a
            dictionary, or single values of another type that can be cast to strings.
        lines: The line each row begins on, from 1, shape (n,).
        raws: Gives the bytes of row i.
    """

    columns: Mapping[str, Any]
    lines: Sequence[int] | Int64Array
    raws: Callable[[int], bytes]


class RowMapper:
    """Turns blocks of rows into batches of one record.

    Args:
        mapping: How columns become fields.
        pseudonyms: What replaces natural ids; needed where the mapping has a pseudonym.
        coded: Whether words that repeat may stay codes, which is less work for who only sends.

    Raises:
        ValueError: The mapping has a pseudonym, and nobody gave the keys.
    """

    def __init__(
        self, mapping: FileMapping, pseudonyms: Pseudonyms | None = None, *, coded: bool = False
    ) -> None:
        self.natural_columns = mapping.natural_columns
        if self.natural_columns and pseudonyms is None:
            raise ValueError(f"mapping {mapping.name} has a pseudonym: it needs the keys")
        self.pseudonyms = pseudonyms if self.natural_columns else None
        self.coded = coded
        self.schema = arrow_schema(mapping.record)
        self.columns = {
            f.target.name: FieldColumn(f, mapping, self.schema.field(f.target.name).type)
            for f in mapping.fields
        }
        self.targets = targets(mapping.record)

    def batch(self, rows: Rows, *, file: str) -> tuple[pa.RecordBatch, list[UnmappedRow]]:
        """Return the record of every row that can be mapped, in order, and the rows that can't.

        A row with several problems is refused for the first, in the order of the record's fields.
        """
        problems: Problems = {}
        count = len(rows.lines)
        arrays = {
            name: column.of(rows.columns, count, problems) for name, column in self.columns.items()
        }
        if self.pseudonyms is not None:
            arrays["account_id"] = _replaced(
                arrays["programme"], arrays["account_id"], self.pseudonyms, problems
            )
        for target in self.targets:
            if target.name not in arrays:
                kind = self.schema.field(target.name).type
                arrays[target.name] = pa.repeat(pa.scalar(target.default, kind), count)
        batch = self._batch(arrays, count, problems)
        refused = [
            UnmappedRow(
                file, int(rows.lines[row]), problem.code, problem.reason, self._raw(rows, row)
            )
            for row, problem in sorted(problems.items())
        ]
        return batch, refused

    def _batch(self, arrays: Mapping[str, Any], count: int, problems: Problems) -> pa.RecordBatch:
        columns = [arrays[name] for name in self.schema.names]
        if problems:
            kept = np.ones(count, dtype=np.bool_)
            kept[list(problems)] = False
            columns = [column.filter(pa.array(kept)) for column in columns]
        if not self.coded:
            columns = [
                column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for column in columns
            ]
            return pa.RecordBatch.from_arrays(columns, schema=self.schema)
        return pa.RecordBatch.from_arrays(columns, names=self.schema.names)

    def _raw(self, rows: Rows, row: int) -> bytes:
        if self.pseudonyms is None:
            return rows.raws(row)
        shown = rows.columns.keys() - self.natural_columns
        texts = {
            name: text_at(column, row) for name, column in rows.columns.items() if name in shown
        }
        return json.dumps(texts, ensure_ascii=False).encode()


def text_at(column: Any, row: int) -> str | None:
    """Return a value of a column as its text."""
    text: str | None = as_texts(column.slice(row, 1))[0].as_py()
    return text


def _replaced(programme: Any, account: Any, pseudonyms: Pseudonyms, problems: Problems) -> Any:
    """Return the pseudonym of each row's account; rows of a programme without a key are refused."""
    open_rows = np.ones(len(account), dtype=np.bool_)
    # A row that is refused already may lack either.
    open_rows[list(problems)] = False
    programmes, accounts = _words(programme), _words(account)
    replaced = np.full(len(account), None, dtype=object)
    names = programmes.dictionary.to_pylist()
    asked = programmes.indices.fill_null(-1).to_numpy()
    for code, name in enumerate(names):
        at = np.flatnonzero(open_rows & (asked == code))
        if not len(at):
            continue
        mine = accounts.indices.take(pa.array(at)).to_numpy()
        used, codes = np.unique(mine, return_inverse=True)
        natural_ids = accounts.dictionary.take(pa.array(used)).to_pylist()
        try:
            made = pseudonyms.of_many(name, natural_ids)
        except NoKeyError as wrong:
            problem = UnmappableError("row_bad_value", f"programme: {wrong}")
            problems.update(dict.fromkeys(at.tolist(), problem))
            continue
        replaced[at] = np.array(made, dtype=object)[codes]
    return pa.array(replaced, pa.string())


def _words(column: Any) -> Any:
    """Return a column as codes and words; a null is no word."""
    if pa.types.is_dictionary(column.type):
        return column
    return pc.dictionary_encode(column)
