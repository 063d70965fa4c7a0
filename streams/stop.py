"""Stopping the process: crash-only, so that no acknowledgement or clean-up can move an offset.

A process that a supervisor starts again at once is hard to see: what it knew when it ended is gone
before anybody has asked. Where it has something to tell it may stand still for a while first; its
metrics are served by a thread of their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
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


def stop_process(error: BaseException, *, hold_s: float = 0.0) -> NoReturn:
    """End the process, and say why.

    Args:
        error: What ends it.
        hold_s: How long it stands still before; nothing goes on in its event loop any more, and a
            signal that asks it to end ends it. Only the main thread can.
    """
    fenced = isinstance(error, ProducerFenced)
    status = EXIT_FENCED if fenced else EXIT_FAILED
    if hold_s:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(status))
    if fenced:
        tell(log, "worker_fenced", status=EXIT_FENCED)
    else:
        told = denied(error)
        reason = f"the broker {told}" if told else " ".join(str(error).split()) or repr(error)
        tell(log, "worker_failed", error=error, reason=reason, status=status)
    if hold_s:
        tell(log, "worker_holds", seconds=float(hold_s))
    logging.shutdown()
    time.sleep(hold_s)
    os._exit(status)
