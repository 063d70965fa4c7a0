"""Who runs the job: our worker and its peers, each a process with a counter of the events worked.

A peer is given settings of its own names (BENCH_*), the text of our schemas and nothing else of
ours; `needs` names what `make` must have built before it can start.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.ground import Ground

ROOT: Final = Path(__file__).resolve().parents[1]
PEERS_PYTHON: Final = ROOT / ".venv" / "peers" / "bin" / "python"
PEERS_READY: Final = ".venv/peers/.installed"
STREAMS_READY: Final = "benchmarks/peers/kafka_streams/target/kafka-streams-peer.jar"

WINDOW_S_MAX: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A way to do the job.

    Attributes:
        name: Its key in the results.
        counter: The Prometheus counter of events worked; its series are summed.
        command: The program, by its path or as the PATH finds it, and its arguments.
        environ: Its settings on some ground, given the port for its metrics.
        begins: The metric whose first series starts the clock; the counter's first move where None.
        needs: What `make` makes of it first, below the root of the repository.
        window_s_max: How long it is measured; until the load is done where None.
        warm_share: Share of its load that it works before the clock starts.
        endless: It works its load again and again, and only its window ends that.
    """

    name: str
    counter: str = "peer_events_total"
    command: tuple[str, ...]
    environ: Callable[[Ground, int], dict[str, str]]
    begins: str | None = None
    needs: str | None = None
    window_s_max: float | None = WINDOW_S_MAX
    warm_share: float = 0.0
    endless: bool = False


def _ours(ground: Ground, port: int) -> dict[str, str]:
    return {
        "CARBONFLOW_BOOTSTRAP": ground.bootstrap,
        "CARBONFLOW_PREFIX": ground.prefix,
        "CARBONFLOW_INSTANCE": "bench-0",
        "CARBONFLOW_METRICS_PORT": str(port),
        "CARBONFLOW_DATA_DIR": str(ground.folder / "worker"),
    }


def _peer(ground: Ground, port: int) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "BENCH_BOOTSTRAP": ground.bootstrap,
        "BENCH_TOPIC": ground.topic,
        "BENCH_OUTPUT": ground.output,
        "BENCH_APP": f"{ground.prefix}peer",
        "BENCH_PORT": str(port),
        "BENCH_PARTITIONS": str(ground.partitions),
        "BENCH_DATA_DIR": str(ground.folder / "peer"),
    }


# Ours counts a slice when it is committed, and steps others meanwhile: where its counter first
# moves, a fifth of the load may be done. It tells its lag from when its first book is open.
OURS: Final = Contestant(
    name="carbonflow",
    counter="carbonflow_events_total",
    begins="carbonflow_lag_offsets",
    command=(sys.executable, "-m", "cli.main", "worker"),
    environ=_ours,
    window_s_max=None,
)
PLAIN_FAUST: Final = Contestant(
    name="plain_faust",
    command=(sys.executable, "-m", "benchmarks.peers.plain_faust"),
    environ=_peer,
)
QUIX_STREAMS: Final = Contestant(
    name="quix_streams",
    command=(str(PEERS_PYTHON), "-m", "benchmarks.peers.quix_streams"),
    environ=_peer,
    needs=PEERS_READY,
)
BYTEWAX: Final = Contestant(
    name="bytewax",
    command=(str(PEERS_PYTHON), "-m", "benchmarks.peers.bytewax_flow"),
    environ=_peer,
    needs=PEERS_READY,
)
AIOKAFKA_RAW: Final = Contestant(
    name="aiokafka_raw",
    command=(sys.executable, "-m", "benchmarks.peers.aiokafka_raw"),
    environ=_peer,
    window_s_max=4.0,
    endless=True,
)
# The JVM compiles what it finds hot; a third of the load is its to warm up with.
KAFKA_STREAMS: Final = Contestant(
    name="kafka_streams",
    command=(
        "java",
        "-Xms1g",
        "-Xmx1g",
        "-XX:+UseParallelGC",
        "-Dorg.apache.avro.SERIALIZABLE_PACKAGES=carbonflow,carbonflow.bench",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{ROOT / STREAMS_READY}:{(ROOT / STREAMS_READY).parent / 'lib'}/*",
        "carbonflow.bench.Peer",
    ),
    environ=_peer,
    needs=STREAMS_READY,
    warm_share=1 / 3,
)

ON_ANY_BROKER: Final = (OURS, PLAIN_FAUST, QUIX_STREAMS, BYTEWAX, AIOKAFKA_RAW)
ON_KAFKA: Final = (OURS, KAFKA_STREAMS, PLAIN_FAUST, QUIX_STREAMS, BYTEWAX, AIOKAFKA_RAW)
