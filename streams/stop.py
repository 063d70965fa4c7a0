"""Stopping the process: crash-only, so that no acknowledgement or clean-up can move an offset."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from aiokafka.errors import ProducerFenced

from schemas.log_events import tell
from schemas.reaching import denied

log = logging.getLogger("carbonflow.worker")

EXIT_FAILED: Final = 1
EXIT_FENCED: Final = 3


@asynccontextmanager
async def stop_process_on_failure() -> AsyncIterator[None]:
    """End the process if the body raises, whatever it raises.

    Only a cancellation that somebody asked for goes through: one that a library's cancelled future
    brings along is a failure like any other.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        stop_process(error)


def stop_process(error: BaseException) -> NoReturn:
    """End the process at once, and say why."""
    fenced = isinstance(error, ProducerFenced)
    if fenced:
        tell(log, "worker_fenced", status=EXIT_FENCED)
    else:
        told = denied(error)
        reason = f"the broker {told}" if told else " ".join(str(error).split()) or repr(error)
        tell(log, "worker_failed", error=error, reason=reason, status=EXIT_FAILED)
    logging.shutdown()
    os._exit(EXIT_FENCED if fenced else EXIT_FAILED)
