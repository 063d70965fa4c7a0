"""What a process says on standard error while it runs.

A command that ends says what went wrong itself, in one line; the libraries it used stay silent.
A process that runs on logs lines like the worker's.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Literal

# Each of these tells every failed attempt; what came of them stands in our own lines.
_CLIENTS = ("aiokafka", "clickhouse_connect", "urllib3")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Level of the log on standard error; at DEBUG the client libraries speak, too."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"


def stay_silent() -> None:
    """Let nothing through that nobody has set up a log for."""
    logging.getLogger().addHandler(logging.NullHandler())


def log_to_stderr(settings: LogSettings) -> None:
    """Log as the worker does: warnings of all, and what Carbonflow says from a level on."""
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("carbonflow").setLevel(settings.log_level)
    if settings.log_level != "DEBUG":
        for name in _CLIENTS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
