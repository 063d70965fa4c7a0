"""Spoken columns: each row says one of a few words, which are encoded once, whatever their field.

Fields that follow each other are said together: their words are pairs of words then, of which only
those are encoded that some row says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.fields import Field
from schemas.kernel import Int64Array

WORDS_MAX: Final = 4096
"""Words, or pairs of words, that are looked through to find those that are said."""

IS_NULL, IS_VALUE = b"\0", b"\2"
"""Which of the two a nullable field is."""

ROWS_OF_A_WORD: Final = 512
"""To encode a word takes as long as to look through so many rows."""

ROWS_SAYING_A_WORD: Final = 64
"""To encode a word pays where so many rows say it; for fewer it is quicker to copy each."""

Codes = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """What n rows say.

    Attributes:
        words: Encoded words.
        codes: Which of them each row says, shape (n,); None where all say the first.
    """

    words: list[bytes]
    codes: Codes | None = None

    def and_then(self, other: Spoken) -> Spoken | None:
        """Return what rows say that say another word behind this one; None for too many pairs."""
        if other.codes is None:
            return Spoken([word + other.words[0] for word in self.words], self.codes)
        if self.codes is None:
            return Spoken([self.words[0] + word for word in other.words], other.codes)
        count = len(other.words)
        if len(self.words) * count > WORDS_MAX:
            return None
        pairs = self.codes.astype(np.int64) * count + other.codes.astype(np.int64)
        said, codes = _said(pairs, len(self.words) * count)
        words = [self.words[at // count] + other.words[at % count] for at in said.tolist()]
        return Spoken(words, codes)


def few_texts(field: Field, codes: Codes | None, texts: Any) -> Spoken | None:
    """Return what is said by rows that have few texts between them; None if they have more.

    Args:
        field: A string or bytes field.
        codes: Which text each row has; None where each has its own.
        texts: The texts, an Arrow array without nulls where there are codes.
    """
    if codes is None or not len(codes) or len(texts) > WORDS_MAX:
        return None
    said, own = _said(codes, len(texts))
    if own is not None and len(said) * ROWS_SAYING_A_WORD > len(codes):
        return None
    encoded = [_word(field, text) for text in texts.take(pa.array(said)).to_pylist()]
    words = list(dict.fromkeys(encoded))
    if own is not None and len(words) < len(encoded):
        number = {word: at for at, word in enumerate(words)}
        own = np.array([number[word] for word in encoded], dtype=np.int32)[own]
    return Spoken(words, own if len(words) > 1 else None)


def few_numbers(field: Field, numbers: Int64Array, nulls: Any) -> Spoken | None:
    """Return what is said by rows whose numbers are few: booleans, symbols, or all the same.

    Args:
        field: A field of any other kind.
        numbers: Number of each row, whatever lies below a null.
        nulls: Which are null; None if none is.
    """
    if not len(numbers):
        return None
    if field.kind in ("boolean", "enum"):
        words = [_word(field, number) for number in range(max(len(field.symbols), 2))]
        codes = numbers if nulls is None else np.where(nulls, len(words), numbers)
        return Spoken([*words, IS_NULL], codes)
    # The last is looked at first: where numbers differ, it mostly does.
    alike = nulls is None and numbers[0] == numbers[-1]
    if alike and bool((numbers == numbers[0]).all()):
        return Spoken([_word(field, int(numbers[0]))])
    return None


def varint(number: int) -> bytes:
    """Return a number of 64 bits as a zigzag varint."""
    value, out = (number << 1) ^ (number >> 63), bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _word(field: Field, value: str | bytes | int) -> bytes:
    if isinstance(value, int):
        encoded = bytes([value]) if field.kind == "boolean" else varint(value)
    else:
        text = value.encode() if isinstance(value, str) else value
        encoded = varint(len(text)) + text
    return IS_VALUE + encoded if field.nullable else encoded


def _said(codes: Codes, count: int) -> tuple[Int64Array, Codes | None]:
    """Return the words that are worth encoding, and codes into those; None if there is one only.

    To find those that nobody says is a pass over all rows: not for a few words.
    """
    if count == 1:
        return np.zeros(1, dtype=np.int64), None
    if count * ROWS_OF_A_WORD <= len(codes):
        return np.arange(count), codes
    is_said = np.zeros(count, dtype=np.bool_)
    is_said[codes] = True
    said = np.flatnonzero(is_said)
    if len(said) <= 1:
        return said, None
    return said, codes if len(said) == count else (np.cumsum(is_said) - 1)[codes]
