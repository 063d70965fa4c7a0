"""Traces: spans for what is done to a slice, from who sent its records to the store.

Off unless CARBONFLOW_OTLP_ENDPOINT says where they go; then whoever makes a span has a `Tracing`,
and else None, so that nothing is spent. A slice holds records of many senders, so its span does not
belong to the trace of one of them: it *links* to the spans that sent them, as far as they are
recorded, to LINKS_MAX of them at most.

`schemas.otlp` is the one implementation, over OpenTelemetry, which is an extra.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from schemas.headers import header_values
from schemas.kernel import Int64Array, UInt8Array
from schemas.settings import SettingsError, variable
from schemas.traceparents import BYTES, TRACEPARENT, is_traceparent

LINKS_MAX: Final = 32
SHARE: Final = "OTEL_TRACES_SAMPLER_ARG"
_SPAN: Final = slice(36, 52)
"""Where a traceparent has the id of its span."""
_SAMPLED: Final = np.isin(np.arange(256), [ord(digit) for digit in "13579bdf"])
"""Whether a last digit of flags says so."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)

Kind: TypeAlias = Literal["server", "consumer", "client"]
Attribute: TypeAlias = str | int | float | Sequence[str]


class TracingError(Exception):
    """Traces are wanted and cannot be had; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """Where traces go.

    Attributes:
        otlp_endpoint: URL of what takes them by OTLP over HTTP; None records none.
    """

    otlp_endpoint: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no URL, and one that gives access: it is shown."""
        if self.otlp_endpoint is None:
            return
        parts = urlsplit(self.otlp_endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{variable('otlp_endpoint')} is no URL such as http://collector:4318")
        if parts.username is not None:
            raise ValueError(
                f"{variable('otlp_endpoint')} has a user in it: what gives access goes into "
                "OTEL_EXPORTER_OTLP_HEADERS"
            )


class Span(Protocol):
    """Something that is being done."""

    @property
    def traceparent(self) -> str | None:
        """What others link to it by; None where it is not recorded."""

    def rename(self, name: str) -> None:
        """Name it, where that was not known at its beginning."""

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""

    def stage(self, name: str, began_ns: int, ended_ns: int) -> None:
        """Add a span within it that is over already; times since 1970 [ns]."""

    def end(self, *, ended_ns: int | None = None, failed: str = "") -> None:
        """End it, now or when it did.

        Args:
            ended_ns: When, since 1970 [ns].
            failed: Why it failed; "" if it did not.
        """


class Tracing(Protocol):
    """Records spans."""

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Attribute],
        *,
        parent: str | None = None,
        links: Iterable[str] = (),
    ) -> Span:
        """Begin a span.

        Args:
            name: Of few, as metrics are.
            kind: Its role.
            attributes: What is known of it.
            parent: The traceparent that it goes on from, which says whether it is recorded.
            links: Traceparents of recorded spans that it follows from; then it is recorded, too.
        """

    def close(self) -> None:
        """Send what is recorded, for a while."""


def tracing_of(
    settings: TracingSettings, process: str, instance: str, environ: Mapping[str, str]
) -> Tracing | None:
    """Return what records spans, None where traces are off.

    Args:
        settings: Where they go.
        process: Which process this is.
        instance: Which of those.
        environ: The environment, whose OTEL_* say more.

    Raises:
        TracingError: The extra is not installed.
        SettingsError: The share is none.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from schemas.otlp import open_tracing  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise TracingError(
            f"{variable('otlp_endpoint')} is set, but {error.name} is not installed: "
            "the extra carbonflow[tracing] brings it"
        ) from error
    return open_tracing(settings.otlp_endpoint, process, instance, share_of(environ))


def share_of(environ: Mapping[str, str]) -> float:
    """Return the share of traces that is recorded, of those that begin here.

    Raises:
        SettingsError: It is none.
    """
    text = environ.get(SHARE, "").strip() or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SettingsError(f"{SHARE} is {text!r}, not a share from 0 to 1")
    return share


@dataclass(frozen=True, slots=True)
class Senders:
    """The recorded spans that records were sent in, and how many more there are."""

    spans: Sequence[str] = ()
    left_out: int = 0


def senders_of(
    data: UInt8Array, headers_at: Int64Array | None, *, spans_max: int = LINKS_MAX
) -> Senders:
    """Return the recorded spans that records were sent in, each once, in order.

    Args:
        data: The buffer of the records.
        headers_at: Where in it the headers of each begin, shape (n,); None where they are unknown.
        spans_max: How many at most.
    """
    if headers_at is None:
        return Senders()
    values = header_values(data, headers_at, TRACEPARENT)
    begins = values.begins[values.sizes == BYTES]
    begins = begins[_SAMPLED[data[begins + (BYTES - 1)]]]
    # Many may have been sent in one span; two of one key are taken for the same.
    ids = data[begins[:, None] + np.arange(_SPAN.start, _SPAN.stop)].view(np.uint64)
    _, first = np.unique(ids[:, 0] * _MIX + ids[:, 1], return_index=True)
    first.sort()
    texts = [
        data[begin : begin + BYTES].tobytes().decode("ascii", "replace")
        for begin in begins[first[:spans_max]].tolist()
    ]
    return Senders([text for text in texts if is_traceparent(text)], max(0, len(first) - spans_max))
