"""Raw values as columns: n byte strings that lie in one buffer.

What a fetch brings is kept as it came; a value becomes `bytes` only where one is needed, such as a
refused one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.kernel import BoolArray, Int64Array, UInt8Array, bytes_of

NULL = -1
"""The size of a null."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw(Sequence[bytes | None]):
    """Byte strings in one buffer.

    Attributes:
        data: The buffer, read-only.
        begins: Where each begins, shape (n,).
        sizes: Bytes of each, NULL for none, shape (n,).
    """

    data: UInt8Array
    begins: Int64Array
    sizes: Int64Array

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Raw:
        """Return the columns of values."""
        if isinstance(values, Raw):
            return values
        given = np.fromiter((NULL if v is None else len(v) for v in values), np.int64, len(values))
        ends = np.cumsum(np.maximum(given, 0))
        data = bytes_of(b"".join(value for value in values if value))
        return cls(data, ends - np.maximum(given, 0), given)

    @classmethod
    def together(cls, parts: Sequence[Raw]) -> Raw:
        """Return some values, one part at least, as one, without what else is in their buffers."""
        if len(parts) == 1:
            return parts[0]
        pieces, begins, base = [], [], 0
        for part in parts:
            first = int(part.begins.min())
            piece = part.data[first : int((part.begins + np.maximum(part.sizes, 0)).max())]
            pieces.append(piece)
            begins.append(part.begins + (base - first))
            base += len(piece)
        return cls(
            bytes_of(np.concatenate(pieces)),
            np.concatenate(begins),
            np.concatenate([part.sizes for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> bytes | None:  # type: ignore[override]
        begin, size = int(self.begins[index]), int(self.sizes[index])
        return None if size == NULL else self.data[begin : begin + size].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        whole = self.data.tobytes()
        for begin, size in zip(self.begins.tolist(), self.sizes.tolist(), strict=True):
            yield None if size == NULL else whole[begin : begin + size]

    def since(self, first: int) -> Raw:
        """Return those from an index on."""
        return Raw(self.data, self.begins[first:], self.sizes[first:])

    def where(self, keep: BoolArray) -> Raw:
        """Return those of a mask."""
        return Raw(self.data, self.begins[keep], self.sizes[keep])
