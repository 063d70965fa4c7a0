"""Why a process ended: only what a fault explains is no failure of the run."""

import json

import pytest

from tests.chaos.supervisor import Around, Kind, reason_of


def ending(reason: str, stack: str = "Traceback ...") -> str:
    """Return what a process logs that ends."""
    line = {"level": "critical", "event": "process_failed", "reason": reason, "stack": stack}
    return (
        f"kernels ...\n{json.dumps({'level': 'info', 'event': 'progress'})}\n{json.dumps(line)}\n"
    )


KAFKA = ending("closed", "Traceback ...\naiokafka.errors.KafkaConnectionError: closed\n...")
BROKER = ending("the broker 127.0.0.1:9092 does not answer")
STORE = ending("ClickHouse at http://127.0.0.1:8123: connection refused")
BUG = ending("'x'", "Traceback ...\nKeyError: 'x'")


@pytest.mark.parametrize(
    ("kind", "status", "said", "around", "reason"),
    [
        ("worker", -9, "", Around(killed=True), "killed"),
        ("worker", 0, "", Around(stopped=True), "stopped"),
        ("worker", 143, "", Around(stopped=True), "stopped"),
        ("worker", 3, "", Around(), "fenced"),
        ("worker", 1, KAFKA, Around(broker_away=True), "broker away"),
        ("sink", 1, BROKER, Around(broker_away=True), "broker away"),
        ("sink", 1, STORE, Around(store_away=True), "store away"),
    ],
)
def test_what_a_fault_explains_is_known(
    kind: Kind, status: int, said: str, around: Around, reason: str
) -> None:
    assert reason_of(kind, status, said, around) == reason


@pytest.mark.parametrize(
    ("kind", "status", "said", "around"),
    [
        ("worker", -9, "", Around()),
        ("worker", 0, "", Around()),
        ("worker", 143, "", Around()),
        ("sink", 3, "", Around()),
        ("worker", 1, KAFKA, Around()),
        ("worker", 1, BUG, Around(broker_away=True, store_away=True)),
        ("worker", 1, STORE, Around(store_away=True)),
        ("sink", 1, STORE, Around(broker_away=True)),
        ("worker", -11, "", Around(killed=True, broker_away=True)),
    ],
)
def test_anything_else_is_unexpected(kind: Kind, status: int, said: str, around: Around) -> None:
    assert reason_of(kind, status, said, around) == "unexpected"
