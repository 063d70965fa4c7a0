"""A collector of traces: takes spans by OTLP over HTTP as others do, and keeps them.

Spans and what they point at make a graph, in which a test looks for a way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

WAIT_S: Final = 60.0

Attribute = str | int | float | list[str]


@dataclass(frozen=True, slots=True)
class Told:
    """A span as it was sent."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, Attribute]
    began_ns: int
    ended_ns: int
    is_failed: bool


@dataclass(slots=True)
class Collector:
    """What was sent, and where to send it."""

    endpoint: str
    spans: list[Told] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    _more: threading.Condition = field(default_factory=threading.Condition)

    def add(self, path: str, body: bytes) -> None:
        """Take a request in."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._more:
            self.paths.add(path)
            for of in request.resource_spans:
                about = {each.key: _value(each.value) for each in of.resource.attributes}
                for scope in of.scope_spans:
                    self.spans += [
                        Told(
                            service=str(about["service.name"]),
                            name=span.name,
                            kind=span.kind,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            links=tuple(link.span_id.hex() for link in span.links),
                            attributes={e.key: _value(e.value) for e in span.attributes},
                            began_ns=span.start_time_unix_nano,
                            ended_ns=span.end_time_unix_nano,
                            is_failed=span.status.code == span.status.STATUS_CODE_ERROR,
                        )
                        for span in scope.spans
                    ]
            self._more.notify_all()

    def until(self, holds: Callable[[list[Told]], bool]) -> list[Told]:
        """Wait until something holds of the spans, and return them."""
        deadline = time.monotonic() + WAIT_S
        with self._more:
            while not holds(self.spans):
                left = deadline - time.monotonic()
                names = sorted({f"{span.service} {span.name}" for span in self.spans})
                assert left > 0, f"not within {WAIT_S} s; there are {names}"
                self._more.wait(left)
            return list(self.spans)


def following(spans: list[Told], span_id: str) -> list[Told]:
    """Return the spans that go on from one or link to it, and those that do so from them."""
    reached, found = {span_id}, list[Told]()
    while True:
        more = [
            span
            for span in spans
            if span.span_id not in reached and reached & {span.parent_id, *span.links}
        ]
        if not more:
            return found
        reached |= {span.span_id for span in more}
        found += more


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port for as long as the context is entered."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take spans."""
            collector.add(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_told: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _value(value: AnyValue) -> Attribute:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [str(_value(each)) for each in value.array_value.values]
    found: str | int | float = getattr(value, kind or "string_value")
    return found
