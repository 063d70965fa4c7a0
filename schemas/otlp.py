"""Traces over OpenTelemetry, sent by OTLP over HTTP; imported where they are on.

What the standard's variables say of the exporter, its queue and the resource holds here, too. The
sampler is ours: a span goes on as its parent decided, follows what it links to, and else is
recorded by chance. Spans wait in a bounded queue and are sent by a thread; what a collector that is
away does not take is lost, and nobody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from threading import Thread
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    Decision,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes

from schemas.traceparents import is_traceparent
from schemas.tracing import Attribute, Kind

KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
}
CLOSE_S_MAX: Final = 2.0


class OtlpSpan:
    """A span of OpenTelemetry."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer, self._span = tracer, span

    @property
    def traceparent(self) -> str | None:
        """What others link to it by; None where it is not recorded."""
        about = self._span.get_span_context()
        if not about.trace_flags.sampled:
            return None
        return f"00-{about.trace_id:032x}-{about.span_id:016x}-01"

    def rename(self, name: str) -> None:
        """Name it."""
        self._span.update_name(name)

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def stage(self, name: str, began_ns: int, ended_ns: int) -> None:
        """Add a span within it that is over already."""
        within = trace.set_span_in_context(self._span, Context())
        self._tracer.start_span(name, within, start_time=began_ns).end(ended_ns)

    def end(self, *, ended_ns: int | None = None, failed: str = "") -> None:
        """End it."""
        if failed:
            self._span.set_status(Status(StatusCode.ERROR, failed))
        self._span.end(ended_ns if ended_ns is not None else time.time_ns())


class OtlpTracing:
    """Records spans and sends them."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("carbonflow", version("carbonflow"))

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Attribute],
        *,
        parent: str | None = None,
        links: Iterable[str] = (),
    ) -> OtlpSpan:
        """Begin a span."""
        context = Context()
        if parent is not None and is_traceparent(parent):
            context = trace.set_span_in_context(NonRecordingSpan(_named(parent)), context)
        span = self._tracer.start_span(
            name,
            context,
            KINDS[kind],
            attributes,
            links=[Link(_named(each)) for each in links],
        )
        return OtlpSpan(self._tracer, span)

    def close(self) -> None:
        """Send what is recorded, for CLOSE_S_MAX at most."""
        # Its own limits hold for one request, or for none.
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S_MAX)


class HeadSampler(Sampler):
    """Decides at the beginning of a span whether it is recorded.

    Args:
        share: Of the spans that go on from nothing and link to nothing.
    """

    def __init__(self, share: float) -> None:
        self._by_chance = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether a span is recorded, with its attributes."""
        del kind, trace_state
        parent = trace.get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            is_recorded = parent.trace_flags.sampled
        elif links:
            is_recorded = True
        else:
            return self._by_chance.should_sample(
                parent_context, trace_id, name, attributes=attributes
            )
        decision = Decision.RECORD_AND_SAMPLE if is_recorded else Decision.DROP
        return SamplingResult(decision, attributes)

    def get_description(self) -> str:
        """Return what it does."""
        return f"as its parent, as its links, else {self._by_chance.get_description()}"


def open_tracing(endpoint: str, process: str, instance: str, share: float) -> OtlpTracing:
    """Return what records spans and sends them to an endpoint."""
    resource = Resource.create(
        {
            "service.name": f"carbonflow-{process}",
            "service.instance.id": instance,
            "service.version": version("carbonflow"),
        }
    )
    provider = TracerProvider(
        HeadSampler(share), resource, shutdown_on_exit=False, span_limits=None
    )
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OtlpTracing(provider)


def _named(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
