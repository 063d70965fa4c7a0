"""The log: lines on standard error, JSON for programs or text for people, whoever says them.

Lines of libraries go the same way as ours, whose events are in `log_events`, and so does what
nobody catches. What the process keeps secret is blotted out wherever it would show, in a library's
message or in a stack as well.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import quote

from schemas.log_events import LIBRARY, tell

BLOT: Final = "***"
SECRET_CHARACTERS_MIN: Final = 4
"""What is shorter is no secret, and blotting it out would leave nothing to read."""

log = logging.getLogger("carbonflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged on standard error, and how.

    Attributes:
        log_level: From which level on; at DEBUG the client libraries speak, too.
        log_format: A line of JSON or of text; `auto` is text in a terminal, and JSON elsewhere.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"

    @property
    def is_json(self) -> bool:
        """Whether lines are JSON."""
        if self.log_format == "auto":
            return not sys.stderr.isatty()
        return self.log_format == "json"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who logs: which process, and which of those that run."""

    process: str
    instance: str


class _Line(logging.Formatter):
    """A line of the log, without what is secret."""

    def __init__(self, hidden: Iterable[str]) -> None:
        super().__init__()
        forms = {form for secret in hidden for form in _forms(secret)}
        # A longer one may hold a shorter.
        self._hidden = sorted(forms, key=len, reverse=True)

    def formatTime(  # noqa: N802 (logging's name)
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time of a line as RFC 3339 has it, in UTC with milliseconds."""
        del datefmt
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def blotted(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._hidden:
            text = text.replace(secret, BLOT)
        return text


class TextLines(_Line):
    """Lines for people: when, how bad, who, what. A stack is as long as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = record.getMessage().replace("\n", "\\n")
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {said}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return self.blotted(line)


class JsonLines(_Line):
    """Lines for programs: one JSON object each, its names in order of use."""

    def __init__(self, speaker: Speaker, hidden: Iterable[str] = ()) -> None:
        super().__init__(hidden)
        self._speaker = speaker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", LIBRARY),
            "message": record.getMessage(),
            "process": self._speaker.process,
            "instance": self._speaker.instance,
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            told["exception"] = type(error).__name__
            told["stack"] = self.formatException(record.exc_info)
        return json.dumps(self._without(told), ensure_ascii=False, default=str)

    def _without(self, value: Any) -> Any:
        """Return a value without secrets in its texts."""
        if isinstance(value, str):
            return self.blotted(value)
        if isinstance(value, dict):
            return {name: self._without(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._without(each) for each in value]
        return value


def log_to_stderr(
    settings: LogSettings,
    speaker: Speaker,
    *,
    hidden: Iterable[str] = (),
    quiet: Collection[str] = (),
) -> None:
    """Log what Carbonflow says from a level on, and warnings of all others.

    Args:
        settings: Level and format.
        speaker: Who this is.
        hidden: What must never show.
        quiet: Loggers of libraries that say nothing, unless at DEBUG.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(speaker, hidden) if settings.is_json else TextLines(hidden))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("carbonflow").setLevel(settings.log_level)
    for name in quiet:
        is_loud = settings.log_level == "DEBUG"
        logging.getLogger(name).setLevel(logging.NOTSET if is_loud else logging.CRITICAL)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    del trace  # The error has it.
    if issubclass(kind, KeyboardInterrupt):
        return
    tell(log, "process_failed", error=error, reason=_reason(error), status=1)


def _uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is None or told.exc_type is SystemExit:
        return
    name = told.thread.name if told.thread else "?"
    tell(log, "thread_failed", error=told.exc_value, thread=name, reason=_reason(told.exc_value))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _forms(secret: str) -> Iterable[str]:
    """Return a secret as it may show: as it is, in JSON, in a repr, in a URL."""
    if len(secret) >= SECRET_CHARACTERS_MIN:
        escaped = json.dumps(secret, ensure_ascii=False)[1:-1]
        return secret, escaped, repr(secret)[1:-1], quote(secret, safe="")
    return ()
