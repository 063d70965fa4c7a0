"""What a measurement depends on beside the code: the processor and the versions of all parts."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.contestants import ROOT

PACKAGES: Final = ("faust-streaming", "aiokafka", "pyarrow", "numba", "numpy", "fastavro")
PEERS: Final = ("quixstreams", "bytewax", "confluent-kafka")


def surroundings() -> str:
    """Return machine and versions in a line for people."""
    return ", ".join([machine(), *(f"{name} {number}" for name, number in versions().items())])


def machine() -> str:
    """Return the processor, as the system names it, and how many of it there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {name}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of what ours and the Python peers are made of."""
    lock = (ROOT / "requirements-bench.lock").read_text("utf-8")
    return (
        {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES}
        | {name: locked(lock, name) for name in PEERS}
    )


def locked(lock: str, name: str) -> str:
    """Return the version that a lock file pins.

    >>> locked("a==1 \\\\\\n    --hash=x\\nbytewax==0.21.1 \\\\\\n    --hash=y\\n", "bytewax")
    '0.21.1'
    """
    found = re.search(rf"(?m)^{re.escape(name)}==(\S+)", lock)
    assert found, f"{name} is not locked"
    return found[1]


def kafka_version() -> str:
    """Return the version of Apache Kafka that tests/kafka/pom.xml pins."""
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text("utf-8")
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)</version>", pom)
    assert found, "the pom of the tests pins Kafka"
    return found[1]
