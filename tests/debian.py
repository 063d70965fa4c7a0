"""Packages of Debian for tests and benchmarks, unpacked into a git-ignored folder.

Nothing of the machine is changed, and no service starts. Where apt is missing a test skips and says
why; under CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.toolchains import need

FETCH_S_MAX: Final = 240


class DebianError(RuntimeError):
    """A package cannot be had; the message says why."""


def unpacked(packages: Sequence[str], folder: Path, made: str) -> Path:
    """Return a folder with packages unpacked, fetched by apt unless they are there.

    Args:
        packages: Their names; what they depend on is not followed.
        folder: Takes them.
        made: A file that is in it then.

    Raises:
        DebianError: apt or dpkg ended with an error; the message has what they printed.
    """
    if not (folder / made).is_file():
        need("apt-get", packages[0])
        need("dpkg", packages[0])
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            for package in _download(packages, fresh):
                _unpack(package, fresh / "unpacked")
            (fresh / "unpacked").rename(folder)  # At once: a half-filled folder never shows.
        except OSError:
            if not (folder / made).is_file():
                raise
            # Another run was quicker.
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _download(packages: Sequence[str], into: Path) -> list[Path]:
    """Fetch packages, by the machine's lists of packages or, where it has none, by our own."""
    lists = into / "lists"
    lists.mkdir(parents=True)
    said = _apt(into, "download", *packages)
    if len(found := list(into.glob("*.deb"))) < len(packages):
        ours = ("-o", f"Dir::State::Lists={lists}")
        said += _apt(into, *ours, "update") + _apt(into, *ours, "download", *packages)
        found = list(into.glob("*.deb"))
    if len(found) < len(packages):
        raise DebianError(f"apt-get does not bring {', '.join(packages)}:\n{said}")
    return found


def _apt(folder: Path, *words: str) -> str:
    # As root it would fetch as a user who may not write here.
    ours = ("APT::Sandbox::User=root", f"Dir::Cache={folder}")
    done = subprocess.run(
        ["apt-get", *(word for each in ours for word in ("-o", each)), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_S_MAX,
    )
    return f"{done.stdout}{done.stderr}"


def _unpack(package: Path, into: Path) -> None:
    done = subprocess.run(
        ["dpkg", "-x", str(package), str(into)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DebianError(f"dpkg cannot unpack {package.name}:\n{done.stderr}")
