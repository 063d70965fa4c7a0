"""npm packages that tests use: installed once from a lock file, into the git-ignored node_modules/.

The lock has hashes and no hosts, so npm takes them from whichever registry it is set up for.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NoReturn

import pytest

INSTALL_S_MAX: Final = 240


def need(reason: str | None) -> None:
    """Skip where something is missing; under CI=true that is a failure, as nobody would notice."""
    if reason is not None:
        _give_up(reason)


def missing(program: str, what: str) -> str | None:
    """Return why something cannot be done here, or None if the program is there."""
    return None if shutil.which(program) else f"{what}, and there is no {program} on the PATH"


def npm_ci(folder: Path) -> Path:
    """Install what the lock of a folder pins, unless it is there; return its node_modules.

    Raises:
        RuntimeError: npm ended with an error; the message is what it printed.
    """
    need(missing("npm", "packages are installed by npm"))
    wanted = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        wanted.update((folder / name).read_bytes())
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted.hexdigest():
        return modules
    done = subprocess.run(
        ["npm", "ci", "--no-progress"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_S_MAX,
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm ci ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    stamp.write_text(wanted.hexdigest())
    return modules


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must run these tests")
    pytest.skip(reason)
