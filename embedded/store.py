"""The embedded store: chDB, ClickHouse inside the process, behind the same client as a server.

A folder has one owner: chDB opens one path per process, and a lock keeps other processes out.
Handles of one store share its data; each may be used from several threads, because a handle takes
its callers one at a time. So the sink writes through one handle, and readers, which would
otherwise wait for its inserts, use another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as StoreError

from embedded.ownership import Ownership
from embedded.priority import put_last

__all__ = ["Store", "StoreError"]

MERGING_THREAD = "MergeMutate"


@dataclass(frozen=True, slots=True)
class Store:
    """An open store in `path`; `writer` and `reader` are clients to it, which raise StoreError."""

    owned: Ownership
    path: str
    writer: Client
    reader: Client

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open the store in a folder, made where missing.

        Raises:
            InUseError: Another process, or another store of this one, owns it.
            clickhouse_connect.driver.exceptions.Error: This process has another chDB folder open,
                or the data is broken.
        """
        owned = Ownership.take(folder, what="a carbonflow store")
        path = str(folder / "chdb")
        try:
            writer = _handle(path)
        except BaseException:
            owned.release()
            raise
        try:
            return cls(owned, path, writer, _handle(path))
        except BaseException:
            writer.close()
            owned.release()
            raise

    def merge_last(self) -> None:
        """Let merging take what others leave; its threads are there once the first table is."""
        put_last(os.getpid(), thread=MERGING_THREAD)

    def close(self) -> None:
        """Close both handles and give the folder back; twice is fine."""
        self.reader.close()
        self.writer.close()
        self.owned.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handle(path: str) -> Client:
    return clickhouse_connect.get_client(interface="chdb", path=path)
