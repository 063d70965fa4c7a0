"""When a fault is over: every partition has passed where it was, and the work goes on."""

from aiokafka.structs import TopicPartition

from schemas.settings import BrokerSettings
from tests.chaos.progress import Progress

FIRST, SECOND = (TopicPartition("charging-sessions", number) for number in range(2))
STORED = TopicPartition("transfers", 0)


def progress() -> Progress:
    """Return a pipeline with ten events on each of two partitions, nearly all worked."""
    made = Progress(BrokerSettings(), partitions=2)
    made.ends = {FIRST: 10, SECOND: 10, STORED: 7}
    made.worked = {FIRST: 10, SECOND: 8}
    made.stored = {STORED: 7}
    return made


def test_workers_are_over_a_fault_when_every_partition_has_passed_where_it_was() -> None:
    made = progress()
    fault = made.begin("kill", worked=True)
    made.worked = {FIRST: 90, SECOND: 9}
    assert not made.has_worked(fault)
    made.worked = {FIRST: 90, SECOND: 10}
    assert made.has_worked(fault)


def test_a_sink_that_had_stored_everything_is_over_a_fault_when_it_goes_on() -> None:
    made = progress()
    fault = made.begin("take the store away", stored=True)
    made._look()
    assert fault.took_s is None
    made.stored = {STORED: 8}
    made._look()
    assert fault.took_s is not None


def test_what_is_left_when_all_is_worked_and_stored_is_over() -> None:
    made = progress()
    fault = made.begin("kill", worked=True, stored=True)
    made.settled()
    assert fault.took_s is not None
