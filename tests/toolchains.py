"""Toolchains other than Python's, which some tests need: are they there, and what do they make?

Where one is missing a test skips and says why. Under CI=true that is a failure: there nobody would
notice that nothing was tested. What is made stays in git-ignored folders, and is made again when
its sources have changed.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

MAKE_S_MAX: Final = 240


def need(program: str, what: str) -> None:
    """Skip unless a program is there; under CI=true fail."""
    if shutil.which(program) is not None:
        return
    reason = f"{what} needs {program}, which is not on the PATH"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must run these tests")
    pytest.skip(reason)


def make(command: Sequence[str], folder: Path, sources: Sequence[str], into: str) -> Path:
    """Run a command in a folder unless it has made what is there of the same sources.

    Args:
        command: What makes it.
        folder: Where.
        sources: Files in the folder that it is made of.
        into: The folder in it that the command fills.

    Returns:
        The filled folder.

    Raises:
        RuntimeError: The command ended with an error; the message has what it printed.
    """
    digest = hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in sources))
    stamp = folder / into / ".made"
    if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
        stamp.unlink(missing_ok=True)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=MAKE_S_MAX
        )
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        stamp.write_text(digest.hexdigest())
    return folder / into


def npm_ci(folder: Path) -> Path:
    """Install what the lock of a folder pins, and return its node_modules.

    The lock has hashes and no hosts: npm takes packages from the registry it is set up for.
    """
    need("npm", folder.name)
    sources = ("package.json", "package-lock.json")
    return make(("npm", "ci", "--no-progress"), folder, sources, "node_modules")
