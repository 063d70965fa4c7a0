"""A broker that goes away while a worker starts, in a process of its own: the loop is uvloop's."""

import subprocess
import sys
from pathlib import Path

WORKER = """
import asyncio, sys
from pathlib import Path
from embedded.broker import Broker
from producers.topics import ensure_topics
from streams import worker
from streams.settings import WorkerSettings

folder = Path(sys.argv[1])
broker = Broker.start(folder / "broker")
settings = WorkerSettings(bootstrap=broker.bootstrap, data_dir=str(folder / "worker"))
asyncio.run(ensure_topics(settings))
asked = worker._partitions

async def last_answer(settings):
    answer = await asked(settings)
    broker.stop()
    return answer

worker._partitions = last_answer
try:
    worker.run_worker(settings, None)
except worker.TopicsMissing as missing:
    print(f"told: {missing}", settings.bootstrap)
"""


def test_a_worker_whose_broker_goes_before_it_has_begun_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-c", WORKER, str(tmp_path)), capture_output=True, text=True, check=False
    )
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("told: ")]
    address = told.rpartition(" ")[2]
    assert told == f"told: the broker {address} does not answer {address}"
