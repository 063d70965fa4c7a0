"""Stopping the process: crash-only, so that no acknowledgement or clean-up can move an offset."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from aiokafka.errors import ProducerFenced

log = logging.getLogger("carbonflow.worker")

EXIT_FAILED: Final = 1
EXIT_FENCED: Final = 3


@asynccontextmanager
async def stop_process_on_failure() -> AsyncIterator[None]:
    """End the process if the body raises, whatever it raises; let cancellation through."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - crash-only: nothing is caught to go on
        _stop_process(error)


def _stop_process(error: Exception) -> NoReturn:
    fenced = isinstance(error, ProducerFenced)
    if fenced:
        log.error("fenced: another worker owns the partition now")
    else:
        log.critical("stopping, offsets unmoved", exc_info=error)
    logging.shutdown()
    os._exit(EXIT_FENCED if fenced else EXIT_FAILED)
