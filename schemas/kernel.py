"""Kernels: loops over bytes that numba compiles to machine code, and what all of them read.

What is done to every single record (finding it in a fetched batch, reading its fields, hashing its
identity, writing its transfers) is a few nanoseconds of work, a hundred times that in Python, and a
dozen passes with a temporary each in numpy or Arrow. So these loops, and only these, are written as
plain functions over arrays and compiled when first called. The compiled code is kept beside the
module, or in NUMBA_CACHE_DIR; where neither can be written, each process compiles anew. They
release the interpreter's lock while they run.

A kernel fills arrays it is given, makes none and raises nothing. So numba need not count references
to arrays, which took two thirds of the time that decoding takes. Bytes are read-only uint8 arrays,
so that each kernel is compiled once; compiled code does not check bounds, so each kernel checks its
own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast
from zlib import crc32

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic

F = TypeVar("F", bound=Callable[..., object])

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
UInt64Array = npt.NDArray[np.uint64]
Number: TypeAlias = Any
"""A number of a kernel: int64 or uint64 in compiled code, an int for Python."""

STAMP: Final = f"_{crc32(Path(__file__).read_bytes()):08x}"
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}
VARINT_BYTES_MAX: Final = 10
WIDE_BYTES: Final = 16
READ, KEEP, DATA = 0, 3, 1
"""What a prefetch is for: to read, to keep in all caches, data and not code."""
intrinsic: Final[Callable[[Any], Any]] = _intrinsic
BROKEN: Final = -1
"""The position behind a varint that is none."""


def kernel(function: F) -> F:
    """Compile a function over arrays when it is first called."""
    # numba keeps code by the file it was written in, but much of it was written here.
    function.__qualname__ += STAMP
    try:
        return cast(F, numba.njit(cache=True, **OPTIONS)(function))
    except RuntimeError as error:
        # There is no place where it may keep code: it is compiled again in every process.
        if "cannot cache" not in str(error):
            raise
        return cast(F, numba.njit(**OPTIONS)(function))


def inlined(function: F) -> F:
    """Make a function part of the kernels that call it: a call costs more than what it does."""
    return cast(F, numba.njit(inline="always", **OPTIONS)(function))


def bytes_of(data: bytes | bytearray | memoryview | UInt8Array) -> UInt8Array:
    """Return bytes as a read-only array, without copying them."""
    view = np.frombuffer(data, dtype=np.uint8)
    view.flags.writeable = False
    return view


@intrinsic
def copy_wide(_context: Any, out: Any, _at: Any, data: Any, _begin: Any) -> Any:
    """Copy WIDE_BYTES bytes at once. A loop over bytes takes five times as long."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), WIDE_BYTES)
        source = _pointer(context, builder, signature.args[2], args[2], args[3], kind)
        target = _pointer(context, builder, signature.args[0], args[0], args[1], kind)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64), code


@intrinsic
def word_at(_context: Any, data: Any, _at: Any) -> Any:
    """Return the eight bytes at a position as a little-endian number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = _pointer(context, builder, signature.args[0], args[0], args[1], ir.IntType(64))
        return builder.load(source, align=1)

    return types.uint64(data, types.int64), code


@intrinsic
def prefetch(_context: Any, array: Any, _at: Any) -> Any:
    """Have the memory of an item fetched while other things are done; past the end is no harm."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        width = ir.IntType(8 * context.get_abi_sizeof(context.get_data_type(array.dtype)))
        place = _pointer(context, builder, signature.args[0], args[0], args[1], width)
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, flag, flag, flag])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(fetch, [place, flag(READ), flag(KEEP), flag(DATA)])
        return context.get_dummy_value()

    return types.void(array, types.int64), code


def _pointer(context: Any, builder: Any, array: Any, value: Any, at: Any, kind: Any) -> Any:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())


@inlined
def read_varint(data: UInt8Array, at: int, end: int) -> tuple[Number, Number]:
    """Return a zigzag varint at a position and the position behind it.

    That position is BROKEN if the varint reaches the end, exceeds 64 bits or is longer than it
    needs to be.
    """
    if at < end and data[at] < 0x80:
        byte = np.uint64(data[at])
        return np.int64(byte >> np.uint64(1)) ^ -np.int64(byte & np.uint64(1)), at + 1
    return _long_varint(data, at, end)


@kernel
def _long_varint(data: UInt8Array, at: int, end: int) -> tuple[Number, Number]:
    value = np.uint64(0)
    for index in range(VARINT_BYTES_MAX):
        if at + index >= end:
            return 0, BROKEN
        byte = data[at + index]
        value |= np.uint64(byte & 0x7F) << np.uint64(7 * index)
        if byte < 0x80:
            overlong = (byte == 0 and index > 0) or (index == VARINT_BYTES_MAX - 1 and byte > 1)
            if overlong:
                return 0, BROKEN
            number = np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))
            return number, at + index + 1
    return 0, BROKEN


@kernel
def varint_at(data: UInt8Array, at: int) -> tuple[Number, Number]:
    """Return a varint and the position behind it, for Python.

    What is inlined is in no cache: called from Python it is compiled anew in each process.
    """
    return read_varint(data, at, len(data))


@inlined
def varint_bytes(number: int) -> int:
    """Return how many bytes a number takes as a zigzag varint."""
    value = np.uint64((number << 1) ^ (number >> 63))
    size = 1
    while value >= np.uint64(0x80):
        value >>= np.uint64(7)
        size += 1
    return size


@inlined
def write_varint(out: UInt8Array, at: int, number: int) -> int:
    """Write a zigzag varint and return the position behind it."""
    value = np.uint64((number << 1) ^ (number >> 63))
    while value >= np.uint64(0x80):
        out[at] = np.uint8(value & np.uint64(0x7F)) | np.uint8(0x80)
        value >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(value)
    return at + 1


@inlined
def copy_bytes(out: UInt8Array, at: Number, data: UInt8Array, begin: int, size: int) -> Number:
    """Copy bytes and return the position behind them; up to 15 bytes there may be overwritten."""
    done = 0
    room = min(len(out) - at, len(data) - begin) - WIDE_BYTES
    while done < size and done <= room:
        copy_wide(out, at + done, data, begin + done)
        done += WIDE_BYTES
    while done < size:
        out[at + done] = data[begin + done]
        done += 1
    return at + size
