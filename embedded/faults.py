"""What is wrong with a stack, in a sentence, whichever of its parts says so."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

from aiokafka.errors import KafkaError

from embedded.api import ApiError
from embedded.broker import BrokerError
from embedded.folder import RealBooksError
from embedded.ownership import InUseError, UnusableError
from embedded.store import StoreError
from embedded.workers import WorkerError
from producers.topics import TopicsError
from sinks.migrate import MigrationError


class StackError(Exception):
    """A part cannot start, or has ended for good."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise what a part raises as a StackError, and leave bugs as they are."""
    try:
        yield
    except (
        ApiError,
        BrokerError,
        WorkerError,
        InUseError,
        UnusableError,
        RealBooksError,
        MigrationError,
        TopicsError,
    ) as error:
        raise StackError(str(error)) from error
    except KafkaError as error:
        raise StackError(f"the broker cannot be asked: {error!r}") from error
    except StoreError as error:
        raise StackError(f"the store cannot be asked: {error}") from error
    except CancelledError:
        raise StackError("the stack is being stopped") from None
