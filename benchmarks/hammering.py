"""Hammering: sends sessions to a gateway at a steady rate, from a process of its own.

    python -m benchmarks.hammering --url URL --token TOKEN --rate 2000 --seconds 30 --records 1

An open loop: each request is due at its time, whatever became of those before it, and its latency
counts from when it was due. It goes out on a connection that is free, or waits for one. HTTP is
written and read by hand, because a client library costs more of the machine than the gateway does.
Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import click
import numpy as np
import uvloop

from benchmarks.pacing import Float64s, Quantiles, Schedule, quantiles

CONNECTIONS: Final = 256
START_IN_S: Final = 0.5
ANSWER_S_MAX: Final = 30.0
ACCOUNTS: Final = 20_000
ENDED_AT: Final = 1_700_000_000_000
_PATH: Final = "/v1/charging-sessions"
_LENGTH: Final = b"content-length: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Hammered:
    """What became of the requests.

    Attributes:
        requests: How many were due after the warm-up.
        latencies: Of these.
        records_per_s: Records accepted, from the first due to the last answer.
        accepted: Records of all requests that were answered with 202.
        late_ms: 99 of 100 requests went out at most so late: the generator's own fault.
        faults: Answers that were not 202, by what they were.
    """

    requests: int
    latencies: Quantiles
    records_per_s: float
    accepted: int
    late_ms: float
    faults: dict[str, int]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what a process printed."""
        values = json.loads(text)
        return cls(**values | {"latencies": Quantiles(**values["latencies"])})


def body(first: int, count: int) -> bytes:
    """Return some sessions, one as JSON, several a line each."""
    return "\n".join([_session(number) for number in range(first, first + count)]).encode()


def _session(number: int) -> str:
    started_at, ended_at = ENDED_AT - 3_600_000 + number, ENDED_AT + number
    return (
        f'{{"session_id":"session-{number:010d}","account_id":"account-{number % ACCOUNTS:06d}",'
        '"vehicle_class":"car","grid_region":"CN-BJ",'
        f'"started_at":{started_at},"ended_at":{ended_at},"energy_wh":{10_000 + number % 50_000},'
        '"meter_side":"grid","current":"dc","operator_id":"MA002TMQX",'
        f'"evse_id":"1101050{number % 997:03d}"}}'
    )


class _Connection(asyncio.Protocol):
    """A connection that is free, or waits for one answer."""

    def __init__(self, load: _Load) -> None:
        self._load, self._buffer, self._needs = load, b"", 0
        self.request = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Be free."""
        self._transport = transport

    def send(self, request: int, message: bytes) -> None:
        """Send a request."""
        self.request = request
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, and end the request with the last."""
        self._buffer += data
        if not self._needs:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            at = self._buffer.index(_LENGTH) + len(_LENGTH)
            self._needs = head + 4 + int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) >= self._needs:
            status = self._buffer[9:12]
            self._buffer, self._needs = b"", 0
            self._load.answered(self, status)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that no answer will come."""
        self._load.lost(self, error)


class _Load:
    """Requests on their schedule.

    Args:
        url: The gateway.
        token: Of the sender.
        schedule: When requests are due.
        records: Of each request.
        first: Number of the first session.
    """

    def __init__(
        self, url: str, token: str, schedule: Schedule, *, records: int, first: int
    ) -> None:
        self._at = urlsplit(url)
        kind = "application/json" if records == 1 else "application/x-ndjson"
        self._head = (
            f"POST {_PATH} HTTP/1.1\r\nhost: {self._at.netloc}\r\n"
            f"authorization: Bearer {token}\r\ncontent-type: {kind}\r\ncontent-length: "
        ).encode()
        self._records, self._first = records, first
        self._schedule = schedule
        # In turns, so that none idles until the gateway closes it.
        self._free: deque[_Connection] = deque()
        self._waiting: deque[int] = deque()
        self.sent_s = np.full(schedule.events, np.nan)
        self.done_s = np.full(schedule.events, np.nan)
        self.faults: Counter[str] = Counter()
        self._left = schedule.events
        self._over = asyncio.Event()

    async def run(self) -> Float64s:
        """Send all requests and wait for their answers; return when they were due."""
        loop = asyncio.get_running_loop()
        host, port = self._at.hostname or "", self._at.port or 80
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), host, port)
            self._free.append(connection)
        due_s = self._schedule.due_s(time.monotonic() + START_IN_S)
        for request, at_s in enumerate(due_s.tolist()):
            wait_s = at_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif request % 64 == 0:
                await asyncio.sleep(0)  # Answers have to be read, too, however late we are.
            self._waiting.append(request)
            self._send()
        async with asyncio.timeout(ANSWER_S_MAX):
            await self._over.wait()
        return due_s

    def _send(self) -> None:
        while self._free and self._waiting:
            request, connection = self._waiting.popleft(), self._free.popleft()
            content = body(self._first + request * self._records, self._records)
            self.sent_s[request] = time.monotonic()
            connection.send(request, self._head + b"%d\r\n\r\n" % len(content) + content)

    def answered(self, connection: _Connection, status: bytes) -> None:
        """Take an answer."""
        if status == b"202":
            self.done_s[connection.request] = time.monotonic()
        else:
            self.faults[status.decode()] += 1
        self._end(connection)
        self._free.append(connection)
        self._send()

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        """Take it that an answer will not come."""
        if connection in self._free:
            self._free.remove(connection)
        elif connection.request >= 0:
            self.faults[f"lost: {type(error).__name__}"] += 1
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        connection.request = -1
        self._left -= 1
        if not self._left:
            self._over.set()


async def hammer(
    url: str, token: str, schedule: Schedule, *, records: int, warm_s: float, first: int = 0
) -> Hammered:
    """Send sessions at a steady rate, and return what became of the requests.

    Args:
        url: The gateway.
        token: Of the sender.
        schedule: When requests are due.
        records: Of each request.
        warm_s: Requests that are due before do not count [s].
        first: Number of the first session.
    """
    load = _Load(url, token, schedule, records=records, first=first)
    due_s = await load.run()
    counted = due_s >= due_s[0] + warm_s
    lost = np.isnan(load.done_s) & counted
    taken_s = np.where(np.isnan(load.done_s), ANSWER_S_MAX, load.done_s - due_s)
    accepted = int((~np.isnan(load.done_s)).sum())
    return Hammered(
        requests=int(counted.sum()),
        latencies=quantiles(taken_s[counted], lost=int(lost.sum())),
        records_per_s=accepted * records / float(np.nanmax(load.done_s) - due_s[0]),
        accepted=accepted * records,
        late_ms=float(np.quantile((load.sent_s - due_s)[counted], 0.99)) * 1000,
        faults=dict(load.faults),
    )


@click.command(help="Send sessions to a gateway at a steady rate.")
@click.option("--url", required=True)
@click.option("--token", required=True)
@click.option("--rate", required=True, type=int, help="Requests a second.")
@click.option("--seconds", required=True, type=float)
@click.option("--records", default=1, help="Of each request.")
@click.option("--warm", default=1.0, help="Seconds that do not count.")
@click.option("--first", default=0, help="Number of the first session.")
def main(
    url: str, token: str, rate: int, seconds: float, records: int, warm: float, first: int
) -> None:
    schedule = Schedule(rate_per_s=rate, seconds=seconds)
    found = uvloop.run(hammer(url, token, schedule, records=records, warm_s=warm, first=first))
    click.echo(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
