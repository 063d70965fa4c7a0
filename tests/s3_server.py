"""A server that speaks like Amazon S3, in an environment and a folder of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow.fs as pafs

from embedded.broker import HOST, free_port

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = ROOT / ".venv" / "s3"
MAKE_S_MAX: Final = 240
START_S_MAX: Final = 60
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server; everybody may do everything there."""

    port: int

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables by which it is found."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def bucket(self, name: str) -> Any:
        """Make a bucket, and return it as a file system."""
        system = pafs.S3FileSystem(
            access_key="key",
            secret_key="secret",
            endpoint_override=f"{HOST}:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        system.create_dir(name)
        return pafs.SubTreeFileSystem(name, system)


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Start a server over a folder, which takes its log.

    Raises:
        RuntimeError: It cannot be installed, or does not answer.
    """
    made = subprocess.run(
        ["make", "--no-print-directory", ".venv/s3/.installed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKE_S_MAX,
    )
    if made.returncode:
        raise RuntimeError(f"the S3 server cannot be installed:\n{made.stdout}{made.stderr}")
    server = S3Server(free_port())
    log = folder / "s3.log"
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", "moto.server", "-H", HOST]
    with log.open("wb") as out:
        child = subprocess.Popen(
            [*command, "-p", str(server.port)], cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait(server, child, log)
        yield server
    finally:
        child.kill()
        child.wait()


def _wait(server: S3Server, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urlopen(f"http://{HOST}:{server.port}/moto-api/", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(LOOK_S)
    raise RuntimeError(f"the S3 server does not answer:\n{log.read_text('utf-8', 'replace')}")
