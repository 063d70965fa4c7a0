"""A line of the log is one object, whoever says it, and shows no secret in any form."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from schemas.log_events import LOG_EVENTS, tell
from schemas.logs import JsonLines, Speaker, TextLines
from schemas.progress import Progress, Seldom
from tests.logs import lines_of

SPEAKER = Speaker("worker", "w-0")
SECRET = 'pa"ss\\wörd/1'

PROGRAM = """
import logging, sys, threading, warnings
from schemas.logs import LogSettings, Speaker, log_to_stderr
log_to_stderr(LogSettings(log_format={format!r}), Speaker("sink", "s-0"), hidden=["hunter2"])
warnings.warn("a warning")
logging.getLogger("uvicorn.error").error("a library\\nin two lines")
def fail(): raise OSError("in a thread with hunter2")
thread = threading.Thread(target=fail, name="helper"); thread.start(); thread.join()
raise RuntimeError("nobody\\ncatches hunter2")
"""


def said(format: str) -> str:  # noqa: A002
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=format)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def record(message: str, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    about = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("carbonflow.x", logging.INFO, "x.py", 1, message, (), about)
    made.__dict__ |= {"event": "progress", "fields": fields}
    return made


def test_whatever_a_process_says_is_a_line_of_json() -> None:
    warning, library, thread, end = lines_of(said("auto"))
    assert (warning["level"], warning["event"]) == ("warning", "library")
    assert "a warning" in warning["message"]
    assert (library["logger"], library["message"]) == ("uvicorn.error", "a library\nin two lines")
    assert (thread["event"], thread["thread"], thread["exception"]) == (
        *("thread_failed", "helper", "OSError"),
    )
    assert (end["event"], end["exception"]) == ("process_failed", "RuntimeError")
    assert end["reason"] == "nobody catches ***"
    assert end["stack"].startswith("Traceback")
    assert {line["process"] for line in (warning, library, thread, end)} == {"sink"}


def test_text_is_for_people() -> None:
    text = said("text")
    assert " ERROR uvicorn.error: a library\\nin two lines\n" in text
    assert " CRITICAL carbonflow: cannot go on: nobody catches ***\nTraceback" in text
    assert "hunter2" not in text


@given(st.text("abc\\\"'/%", min_size=4, max_size=20))
def test_a_secret_shows_in_no_form(secret: str) -> None:
    forms = (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe=""))
    error = ValueError(" ".join(forms))
    line = JsonLines(SPEAKER, [secret]).format(record("-".join(forms), error, of=list(forms)))
    told = json.loads(line)
    assert (told["message"], told["of"]) == ("***-***-***-***", ["***"] * 4)
    assert told["stack"] == "ValueError: *** *** *** ***"
    assert secret not in TextLines([secret]).format(record(secret, error))


def test_a_secret_with_quotes_is_blotted_out_where_json_escapes_it() -> None:
    line = JsonLines(SPEAKER, [SECRET]).format(
        record(f"it is {SECRET}", url=quote(SECRET, safe=""))
    )
    told = json.loads(line)
    assert (told["message"], told["url"]) == ("it is ***", "***")


def test_numbers_stay_numbers() -> None:
    told = json.loads(
        JsonLines(SPEAKER).format(record("x", records=7, seconds=0.25, codes={"a": 1}))
    )
    assert (told["records"], told["seconds"], told["codes"]) == (7, 0.25, {"a": 1})


def test_an_event_says_its_sentence_with_its_fields(caplog: Any) -> None:
    log = logging.getLogger("carbonflow.test")
    with caplog.at_level(logging.INFO, "carbonflow.test"):
        tell(log, "recovery_began", partition=3)
        tell(log, "slice_worked")  # At DEBUG: not even its sentence is made.
    (one,) = caplog.records
    assert (one.getMessage(), one.event, one.fields) == (
        *("opening book 3", "recovery_began", {"partition": 3}),
    )


def test_sentences_name_only_fields_of_their_event() -> None:
    examples: dict[type, Any] = {str: "x", int: 1, float: 0.5, dict: {}}
    for about in LOG_EVENTS.values():
        fields = {name: examples[kind] for name, kind in about.fields.items()}
        assert about.says.format(**fields)


def test_progress_is_told_now_and_then_and_only_where_there_is_some(caplog: Any) -> None:
    now = 0.0
    progress = Progress(logging.getLogger("carbonflow.test"), now=lambda: now, every_s=60.0)
    with caplog.at_level(logging.INFO, "carbonflow.test"):
        progress.told(5)
        progress.worked(600)
        progress.told(5)
        now = 60.0
        progress.told(5)
        progress.told(5)
    (one,) = caplog.records
    assert one.fields == {"records": 600, "seconds": 60.0, "records_per_s": 10.0, "lag": 5}


def test_what_goes_wrong_alike_is_told_seldom_and_counted() -> None:
    now = 100.0
    seldom = Seldom(now=lambda: now, every_s=10.0)
    assert [seldom.times() for _ in range(4)] == [1, 0, 0, 0]
    now = 110.0
    assert seldom.times() == 4
