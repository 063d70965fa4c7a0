"""A real schema registry for tests: Apicurio, by its API that speaks as Confluent's registry does.

Maven fetches once what `apicurio/pom.xml` pins, into its git-ignored `target/`. The registry keeps
what it is told in memory, listens on a free port of 127.0.0.1, and is stopped by its pid.
"""

from __future__ import annotations

import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from embedded.children import end, spawn
from tests.kafka.server import free_ports
from tests.toolchains import make, need

HERE: Final = Path(__file__).resolve().parent / "apicurio"
START_S_MAX: Final = 60
STOP_S_MAX: Final = 15
POLL_S: Final = 0.1
JVM: Final = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def fetch() -> Path:
    """Return the folder of the registry, fetched by Maven unless it is already there."""
    need("java", "the schema registry")
    need("mvn", "the schema registry")
    return make(("mvn", "-q", "-B", "dependency:unpack"), HERE, ("pom.xml",), "target") / "app"


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run an empty registry and give the address of its Confluent-compatible API.

    Args:
        folder: Takes its log.
    """
    app = fetch()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    java = shutil.which("java")
    assert java is not None, "need() was not asked"
    options = ("-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}")
    (jar,) = app.glob("*run*.jar")
    log_path = folder / "registry.log"
    child = spawn(
        (java, *JVM, *options, "-jar", str(jar)),
        log_path=log_path,
        death_signal=signal.SIGKILL,
    )
    try:
        deadline = time.monotonic() + START_S_MAX
        while not _answers(url):
            said = log_path.read_text()[-2000:]
            assert child.poll() is None, f"the registry ended:\n{said}"
            assert time.monotonic() < deadline, f"the registry does not answer:\n{said}"
            time.sleep(POLL_S)
        yield url
    finally:
        end(child, term_s=STOP_S_MAX)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/subjects", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
