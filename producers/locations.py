"""Locations: what a word on the command line means: files, folders, patterns and S3 addresses.

    sessions.csv                    a file
    exports/                        every file below it whose name ends as SUFFIXES has it
    'exports/2026-*/*.parquet'      what the pattern fits; ** is any number of folders
    s3://bucket/exports/            the same in a bucket of Amazon S3, or of what speaks like it

Buckets are read by Arrow's own file system, which is there with Parquet: it reads the parts of a
Parquet file that are asked for, ahead of time. Where and as whom it reads, the usual variables say:
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or ~/.aws.

    LocationError    nothing is there, or it cannot be looked at
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import urlsplit

import pyarrow.fs as pafs

SUFFIXES: Final = (
    *(".csv", ".csv.gz", ".csv.zst", ".jsonl", ".jsonl.gz", ".jsonl.zst"),
    *(".ndjson", ".ndjson.gz", ".ndjson.zst", ".parquet"),
)
SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+://")
PATTERN: Final = re.compile(r"[*?\[]")
LOCAL_REGION: Final = "us-east-1"
"""What servers that speak like S3 take where no region is said."""


class LocationError(Exception):
    """Nothing can be loaded from there; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to load.

    Attributes:
        name: What messages and refusals call it: its path or its address.
        size_bytes: As it lies there.
        version: Another one says that it was changed.
        open: Opens it.
    """

    name: str
    size_bytes: int
    version: str
    open: Callable[[], IO[bytes]]


def local(path: Path) -> Source:
    """Return a file of this machine.

    Raises:
        OSError: It cannot be looked at.
    """
    found = path.stat()
    version = f"{found.st_size}-{found.st_mtime_ns}"
    return Source(str(path), found.st_size, version, lambda: path.open("rb"))


def is_url(word: str) -> bool:
    """Return whether a word is an address and not a path."""
    return SCHEME.match(word) is not None


def found(word: str, environ: Mapping[str, str] | None = None) -> list[Source]:
    """Return the files that a word means, by name.

    Args:
        word: A path, a folder, a pattern of paths, or an s3:// address of any of them.
        environ: The process's variables where not given.

    Raises:
        LocationError: There is none, or it cannot be looked at.
    """
    try:
        if is_url(word):
            sources = _in_bucket(word, os.environ if environ is None else environ)
        else:
            sources = [local(path) for path in _here(word)]
    except OSError as wrong:
        raise LocationError(f"{word}: {wrong}") from wrong
    if not sources:
        raise LocationError(f"{word}: there is no file whose name ends in {', '.join(SUFFIXES)}")
    return sources


def _is_wanted(path: str) -> bool:
    """Return whether a file below a folder is one to load: hidden ones and notes of tools, such as
    `_temporary/`, are not.
    """
    hidden = any(part.startswith((".", "_")) for part in path.split("/"))
    return path.lower().endswith(SUFFIXES) and not hidden


def _is_hidden(path: str) -> bool:
    """Return whether a pattern passes a file over, as a shell's would."""
    return any(part.startswith(".") for part in path.split("/"))


def _anything(path: str) -> bool:
    del path
    return True


def _here(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        below = (each for each in path.rglob("*") if each.is_file())
        return sorted(each for each in below if _is_wanted(each.relative_to(path).as_posix()))
    if path.exists() or not PATTERN.search(word):
        return [path]
    base = Path(path.anchor)
    parts = list(path.relative_to(base).parts if path.anchor else path.parts)
    while len(parts) > 1 and not PATTERN.search(parts[0]):
        base /= parts.pop(0)
    fits = (each for each in base.glob("/".join(parts)) if each.is_file())
    return sorted(each for each in fits if not _is_hidden(each.relative_to(base).as_posix()))


def _in_bucket(word: str, environ: Mapping[str, str]) -> list[Source]:
    address = urlsplit(word)
    if address.scheme != "s3":
        raise LocationError(f"{word}: no files can be read from {address.scheme}://, only s3://")
    # What looks like a query or a fragment is part of a key.
    key = word.removeprefix(f"s3://{address.netloc}").strip("/")
    system = _system(address.netloc, environ)
    path = f"{address.netloc}/{key}".rstrip("/")
    if PATTERN.search(key):
        fits = re.compile(_regex(path))
        base = path[: PATTERN.search(path).start()].rpartition("/")[0]  # type: ignore[union-attr]
        below = _below(system, base)
        return _sources(
            system, below, lambda name: not _is_hidden(name) and fits.fullmatch(name) is not None
        )
    info = system.get_file_info(path)
    if info.type == pafs.FileType.File:
        return _sources(system, [info], _anything)
    if info.type == pafs.FileType.NotFound:
        raise LocationError(f"{word}: it is not there")
    inside = f"{path}/"
    return _sources(
        system, _below(system, path), lambda name: _is_wanted(name.removeprefix(inside))
    )


def _below(system: Any, base: str) -> Sequence[Any]:
    infos: Sequence[Any] = system.get_file_info(pafs.FileSelector(base, recursive=True))
    return infos


def _sources(system: Any, infos: Sequence[Any], wanted: Callable[[str], bool]) -> list[Source]:
    def sources() -> Iterator[Source]:
        for info in infos:
            if info.type == pafs.FileType.File and wanted(info.path):
                version = f"{info.size}-{info.mtime_ns}"
                yield Source(f"s3://{info.path}", info.size, version, _opener(system, info.path))

    return sorted(sources(), key=lambda source: source.name)


def _opener(system: Any, path: str) -> Callable[[], IO[bytes]]:
    return lambda: cast(IO[bytes], system.open_input_file(path))


def _system(bucket: str, environ: Mapping[str, str]) -> Any:
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not endpoint:
        return pafs.S3FileSystem(region=region or pafs.resolve_s3_region(bucket))
    address = urlsplit(endpoint)
    return pafs.S3FileSystem(
        endpoint_override=address.netloc, scheme=address.scheme, region=region or LOCAL_REGION
    )


def _regex(pattern: str) -> str:
    """Return a pattern of paths as a regular expression."""
    pieces = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    meaning = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return "".join(
        meaning.get(piece) or (piece.replace("[!", "[^") if at % 2 else re.escape(piece))
        for at, piece in enumerate(pieces)
    )
