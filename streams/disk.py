"""The accounts of one partition on disk, in RocksDB: for more of them than memory holds.

The value of an account is its AccountBalance record as it lies on the wire, so there is one format
of an account and one reader of it. Beside them lies what the store is: whose accounts it holds, how
many, and its checkpoint, written in one batch with the accounts.

There is no write-ahead log. What a killed process had not flushed is missing together with the
checkpoint that counted on it, and is restored from Kafka like all that came after (`restore`).

A folder has one owner, who holds a lock beside it. A store that is another's, that cannot be opened
or that failed while it was in use is thrown away when it is opened next: nothing in it is missed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from carbon.exact import BoolArray
from carbon.rate import Words
from schemas.columns import decode, encode
from schemas.log_events import tell
from streams.memory import Memory
from streams.states import NEW, NUMBERS, States, latest_of_each, states_of

log = logging.getLogger("carbonflow.book")

FORMAT: Final = 2
ABOUT: Final = b"\0"
"""The key of what the store is; a zero byte occurs in no account_id."""

FAILED: Final = "FAILED"
"""A file of this name marks a store that could not be read or written."""

HERE: Final = 0
BUFFER_BYTES: Final = 8 << 20
BUFFERS_SHARE: Final = 3
"""One part in so many of the memory is for write buffers."""

ROWS_MAX: Final = 1024
"""Accounts that are asked for at a time: RocksDB keeps a block in memory for each of them."""

BLOOM_BITS: Final = 10
FILES_OPEN_MAX: Final = 256


class FolderInUse(RuntimeError):
    """Another process has the folder open, until it closes its book or ends."""


class Unusable(Exception):
    """A store that is not to be used; the message says why."""


@dataclass(frozen=True, slots=True)
class About:
    """What a store is.

    Attributes:
        group_id: Consumer group of its workers, with the deployment's prefix.
        partition: The partition whose accounts it holds.
        partitions: How many there are; with another number an account may be another's.
        accounts: Number of accounts.
        checkpoint: Offset in `account-balances` below which nothing is missing.
        format: Of the keys and values.
    """

    group_id: str
    partition: int
    partitions: int
    accounts: int = 0
    checkpoint: int = 0
    format: int = FORMAT


class DiskAccounts:
    """The accounts of one partition in a folder; `DiskAccounts.open` makes one."""

    def __init__(self, folder: Path, lock: int, db: Rdict, about: About) -> None:
        self._folder = folder
        self._lock: int | None = lock
        self._db = db
        self._about = about

    @classmethod
    def open(
        cls, folder: Path, about: About, *, bytes_max: int, afresh: str | None = None
    ) -> DiskAccounts:
        """Open the store in a folder, or a new one where it is missing or not to be used.

        Args:
            folder: Where it is; made where missing.
            about: Whose accounts it must hold.
            bytes_max: Memory for all stores of this process together.
            afresh: Why what is there must not be used; None if it may.

        Raises:
            FolderInUse: Another process has it open, or this one.
        """
        lock = _locked(folder)
        try:
            try:
                if afresh is not None:
                    raise Unusable(afresh)
                db, found = _found(folder, about, bytes_max)
            except Unusable as why:
                tell(log, "accounts_discarded", folder=str(folder), reason=str(why))
                shutil.rmtree(folder)
                db, found = _found(folder, about, bytes_max)
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, lock, db, found)

    @property
    def checkpoint(self) -> int:
        """The offset in `account-balances` below which nothing is missing."""
        return self._about.checkpoint

    def __len__(self) -> int:
        return self._about.accounts

    def names(self) -> pa.StringArray:
        """Return the account_id of every account, in order of its bytes."""
        with self._marked():
            keys = [key for key in self._db.keys() if key != ABOUT]  # noqa: SIM118 - no dict.
        return pa.array(keys, pa.binary()).cast(pa.string())

    def read(self, names: pa.StringArray) -> States:
        """Return the state of k different accounts; that of a new one is all zeros."""
        with self._marked():
            values = self._values(names)
            found = decode("account_balance", [value for value in values if value is not None])
            if found.refused:
                raise Unusable(f"an account cannot be read: {found.refused[0].reason}")
        known = np.fromiter((value is not None for value in values), np.bool_, len(values))
        held = states_of(found.batch, np.full(found.batch.num_rows, HERE, dtype=np.int64))
        return replace(held, names=names) if known.all() else _spread(held, known, names)

    def apply(self, change: States, checkpoint: int | None = None) -> None:
        """Take over the committed state of some accounts."""
        if len(change):
            self._write(change.balances(), int((~change.known()).sum()), checkpoint)

    def restore(self, balances: pa.RecordBatch, checkpoint: int | None = None) -> None:
        """Take over AccountBalance records, each newer than any before of the same account."""
        newest = latest_of_each(balances)
        with self._marked():
            added = self._values(newest.column("account_id")).count(None)
        self._write(newest, added, checkpoint)

    def close(self) -> None:
        """Write everything out and let go of the folder; closing twice is fine."""
        if self._lock is None:
            return
        try:
            with self._marked():
                self._db.flush()
                self._db.close()
        finally:
            os.close(self._lock)
            self._lock = None

    def _values(self, names: pa.StringArray) -> list[bytes | None]:
        """Return the record of each account, None for a new one."""
        keys = _keys(names)
        values: list[bytes | None] = []
        for first in range(0, len(keys), ROWS_MAX):
            values += self._db.get(keys[first : first + ROWS_MAX])  # type: ignore[arg-type]
        return values

    def _write(self, balances: pa.RecordBatch, added: int, checkpoint: int | None) -> None:
        """Write the records of different accounts, and with them what the store now is."""
        about = replace(
            self._about,
            accounts=self._about.accounts + added,
            checkpoint=self._about.checkpoint if checkpoint is None else checkpoint,
        )
        batch = WriteBatch(raw_mode=True)
        for first in range(0, balances.num_rows, ROWS_MAX):
            some = balances.slice(first, ROWS_MAX)
            values = encode("account_balance", some)
            for key, value in zip(_keys(some.column("account_id")), values, strict=True):
                batch.put(key, value)
        batch.put(ABOUT, _told(about))
        with self._marked():
            self._db.write(batch)
        self._about = about

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Mark the store if it fails, so that nobody reads what it holds again."""
        try:
            yield
        except Exception as error:
            (self._folder / FAILED).write_text(f"{error}\n", "utf-8")
            raise


def _locked(folder: Path) -> int:
    """Take the lock beside a folder; it goes with the process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FolderInUse(
            f"{folder} is open already; if two workers share a CARBONFLOW_DATA_DIR, give each its "
            "own"
        ) from None
    return lock


def _found(folder: Path, about: About, bytes_max: int) -> tuple[Rdict, About]:
    """Open what is in a folder, or make it.

    Raises:
        Unusable: It cannot be opened, or is another store than the one asked for.
    """
    if (folder / FAILED).exists():
        raise Unusable(f"it failed: {(folder / FAILED).read_text('utf-8').strip()}")
    is_new = not folder.exists()
    options = _options(bytes_max)
    try:
        # Where no column family is named, it takes options from the folder, and a cache of its own.
        db = Rdict(str(folder), options, {"default": options})
    except Exception as error:
        raise Unusable(f"RocksDB cannot open it: {error}") from error
    try:
        without_log = WriteOptions()
        # The stubs say that this is a method.
        without_log.disable_wal = True  # type: ignore[method-assign,assignment]
        db.set_write_options(without_log)
        if is_new:
            db.put(ABOUT, _told(about))
            db.flush()
        return db, _of(db, about)
    except BaseException:
        db.close()
        raise


def _of(db: Rdict, about: About) -> About:
    """Return what a store says that it is."""
    try:
        told = db.get(ABOUT)
    except Exception as error:
        raise Unusable(f"RocksDB cannot read it: {error}") from error
    if told is None:
        raise Unusable("it does not say what it is")
    try:
        found = About(**json.loads(told))
    except (ValueError, TypeError) as error:
        raise Unusable(f"it does not say what it is: {error}") from error
    same = replace(found, accounts=about.accounts, checkpoint=about.checkpoint)
    if same != about:
        raise Unusable(f"it is another store: {same}, and not {about}")
    return found


def _told(about: About) -> bytes:
    return json.dumps(asdict(about)).encode()


def _options(bytes_max: int) -> Options:
    cached, buffers = _memory(bytes_max)
    table = BlockBasedOptions()
    table.set_block_cache(cached)
    # Index and filters count as cached, too, or memory would grow with the accounts.
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(BLOOM_BITS, False)
    table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(BUFFER_BYTES)
    options.set_max_open_files(FILES_OPEN_MAX)
    # Most of an account is hashes, which nothing compresses.
    options.set_compression_type(DBCompressionType.none())
    options.set_keep_log_file_num(2)
    return options


@cache
def _memory(bytes_max: int) -> tuple[Cache, WriteBufferManager]:
    """Return the cache and the buffers that the stores of a process share."""
    cached = Cache(bytes_max)
    return cached, WriteBufferManager.new_write_buffer_manager_with_cache(
        bytes_max // BUFFERS_SHARE, False, cached
    )


def _keys(names: pa.StringArray) -> list[Any]:
    keys: list[bytes] = names.cast(pa.binary()).to_pylist()
    return keys


def _spread(held: States, known: BoolArray, names: pa.StringArray) -> States:
    """Return the states of all names, given those of the known ones."""
    k = len(known)
    numbers = np.zeros((k, NUMBERS), dtype=np.int64)
    codes = np.full(k, NEW, dtype=np.int32)
    counts, offsets = np.zeros(k, dtype=np.int64), np.zeros(k + 1, dtype=np.int64)
    forgotten_until = np.zeros(k, dtype=np.int32)
    numbers[known], codes[known] = held.numbers, held.programme.codes
    counts[known], forgotten_until[known] = held.memory.counts(), held.forgotten_until
    np.cumsum(counts, out=offsets[1:])
    return States(
        names=names,
        rows=np.where(known, HERE, NEW).astype(np.int64),
        programme=Words(codes, held.programme.vocabulary),
        numbers=numbers,
        memory=Memory(held.memory.hashes, held.memory.days, offsets),
        forgotten_until=forgotten_until,
    )
