"""The log of a process as a test reads it: lines of JSON."""

from __future__ import annotations

import json
from typing import Any


def lines_of(stderr: str) -> list[dict[str, Any]]:
    """Return the lines of a log; each must be an object of JSON."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def why_failed(stderr: str) -> str:
    """Return why a process failed: its log starts, tells only that, and ends."""
    started, failed = lines_of(stderr)
    assert (started["event"], failed["event"]) == ("process_started", "process_failed")
    reason = failed["reason"]
    assert isinstance(reason, str)
    return reason
