"""The producers of examples/producers as the tests run them: built once, then fed with lines."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.toolchains import make, need, npm_ci

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCERS: Final = ROOT / "examples/producers"
SCHEMA: Final = ROOT / "schemas/avro/charging_session.v1.avsc"
RUN_S_MAX: Final = 60

# A process that lives for a second should start in one.
JVM: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


@dataclass(frozen=True, slots=True)
class Run:
    """What a producer said and how it ended."""

    status: int
    stdout: str
    stderr: str
    """What is wrong, and what the client logs of its trying again."""

    @property
    def acknowledged(self) -> int | None:
        """How many records it says were acknowledged, None if it did not end well."""
        said = re.fullmatch(r"(\d+) records acknowledged\n", self.stdout)
        return int(said[1]) if said and self.status == 0 else None


def java() -> tuple[str, ...]:
    """Build the Java producer and return the command that runs it."""
    need("mvn", "the Java producer")
    need("java", "the Java producer")
    sources = (
        "pom.xml",
        "src/main/java/Producer.java",
        "src/main/resources/simplelogger.properties",
    )
    built = make(("mvn", "-q", "-B", "package"), PRODUCERS / "java", sources, "target")
    return ("java", *JVM, "-cp", f"{built}/classes:{built}/lib/*", "Producer")


def node() -> tuple[str, ...]:
    """Install what the Node producer needs and return the command that runs it."""
    need("node", "the Node producer")
    npm_ci(PRODUCERS / "node")
    return ("node", str(PRODUCERS / "node/producer.js"))


def go() -> tuple[str, ...]:
    """Build the Go producer and return the command that runs it."""
    need("go", "the Go producer")
    sources = ("main.go", "go.mod", "go.sum")
    built = make(("go", "build", "-o", "target/producer", "."), PRODUCERS / "go", sources, "target")
    return (str(built / "producer"),)


LANGUAGES: Final[Mapping[str, Callable[[], tuple[str, ...]]]] = {
    "java": java,
    "node": node,
    "go": go,
}


def run(command: Sequence[str], lines: Sequence[str], **environ: str) -> Run:
    """Feed lines to a producer and wait for its end; settings as `CARBONFLOW_PREFIX="x."`."""
    done = subprocess.run(
        (*command, str(SCHEMA)),
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=RUN_S_MAX,
    )
    return Run(done.returncode, done.stdout, done.stderr)
