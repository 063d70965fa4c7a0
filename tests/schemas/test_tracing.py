"""Traces are off unless somebody says where they go, and what is recorded is decided once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags

from schemas.otlp import HeadSampler, open_tracing
from schemas.settings import SettingsError, read_settings
from schemas.traceparents import headers_of
from schemas.tracing import SHARE, TracingSettings, share_of
from tests.collector import collecting

END_S_MAX = 60
SPAN = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1))
UNRECORDED = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(0))


def test_nothing_is_loaded_where_traces_are_off() -> None:
    program = """
import sys
from schemas.tracing import TracingSettings, tracing_of
assert tracing_of(TracingSettings(), "worker", "w", {}) is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_without_the_extra_it_is_said_what_to_install() -> None:
    program = """
import sys
sys.modules["opentelemetry.sdk"] = None
from cli.main import main
sys.argv = ["carbonflow", "sink"]
main()
"""
    environ = {"CARBONFLOW_OTLP_ENDPOINT": "http://127.0.0.1:4318", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 1
    assert "the extra carbonflow[tracing] brings it" in done.stderr


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://", "http://a:b@c"])
def test_an_endpoint_is_a_url_that_gives_no_access(url: str) -> None:
    with pytest.raises(SettingsError, match="CARBONFLOW_OTLP_ENDPOINT") as raised:
        read_settings(TracingSettings, {"CARBONFLOW_OTLP_ENDPOINT": url})
    assert "a:b" not in str(raised.value)


def test_the_share_is_that_of_the_standard() -> None:
    assert share_of({}) == 1.0
    assert share_of({SHARE: "0.25"}) == 0.25
    for wrong in ("x", "1.5", "-1", "nan"):
        with pytest.raises(SettingsError, match=SHARE):
            share_of({SHARE: wrong})


def recorded(share: float, *, parent: SpanContext | None = None, linked: bool = False) -> int:
    """Return how many of a thousand traces are recorded."""
    sampler = HeadSampler(share)
    context = Context()
    if parent is not None:
        context = trace.set_span_in_context(NonRecordingSpan(parent), context)
    links = [Link(SPAN)] if linked else []
    step = 2**64 // 1000
    results = (sampler.should_sample(context, n * step, "x", links=links) for n in range(1000))
    return sum(result.decision is Decision.RECORD_AND_SAMPLE for result in results)


def test_a_span_goes_on_as_its_parent_decided_and_follows_what_it_links_to() -> None:
    assert recorded(0.0, parent=SPAN) == 1000
    assert recorded(1.0, parent=UNRECORDED) == 0
    assert recorded(0.0, linked=True) == 1000
    assert recorded(0.0) == 0
    assert recorded(1.0) == 1000
    assert 90 <= recorded(0.1) <= 110


def test_a_span_that_is_not_recorded_has_no_traceparent_and_nothing_is_sent() -> None:
    with collecting() as collector:
        tracing = open_tracing(collector.endpoint, "worker", "w-0", 0.0)
        quiet = tracing.span("process", "consumer", {})
        assert quiet.traceparent is None
        quiet.stage("read", 1, 2)
        quiet.end()
        loud = tracing.span("process", "consumer", {"n": 1}, links=[f"00-{7:032x}-{9:016x}-01"])
        assert loud.traceparent is not None
        loud.end(failed="it broke")
        tracing.close()
        (told,) = collector.spans
    assert (told.name, told.links, told.is_failed) == ("process", (f"{9:016x}",), True)
    assert told.service == "carbonflow-worker"
    assert collector.paths == {"/v1/traces"}


def test_a_collector_that_does_not_answer_holds_nobody_up() -> None:
    program = """
import sys
from schemas.tracing import TracingSettings, tracing_of
tracing = tracing_of(TracingSettings(otlp_endpoint=sys.argv[1]), "worker", "w", {})
for _ in range(5_000):  # More than the queue has room for.
    tracing.span("process", "consumer", {}).end()
tracing.close()
print("closed")
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", program, url],
            env={**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": str(2 * END_S_MAX)},
            capture_output=True,
            text=True,
            timeout=END_S_MAX,
            check=True,
        )
    assert done.stdout == "closed\n"


def test_a_traceparent_that_is_none_is_an_error_of_who_sends() -> None:
    assert headers_of(None) is None
    with pytest.raises(ValueError, match="no traceparent"):
        headers_of("00-1-2-01")
