"""Intake: activities go to the broker, and each gets its result once the broker has spoken.

    accepted          the broker has it, on all replicas in sync
    repeated          the broker had it already, with the same values
    conflict          the broker has an event of this identity with other values, which counts
    refused           the worker would refuse it, or its document is no record: code, path, reason
    unacknowledged    the broker has not said that it has it: it may be there or not, send it again

A refusal is for the sender, at once; it is not put on the topic `refusals`. Everything runs in one
event loop; only the reports come from librdkafka's threads.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from api.gateway.columns import Written
from api.gateway.documents import Found, identity_of
from api.gateway.metrics import GatewayMetrics
from api.gateway.recent import Before, Recent
from api.gateway.settings import GatewaySettings
from api.gateway.spans import SENT_IN
from api.problems import ProblemError
from producers.adapters.outcome import Refused
from producers.client.delivery import Message, NotDeliveredError
from producers.client.direct import LOG, Direct
from producers.client.records import RefusedError
from producers.client.sending import Messages, now_ms
from producers.targets import topic_of
from schemas.log_events import tell
from schemas.traceparents import headers_of

T = TypeVar("T")

TURN: Final = 128
"""Records after which other requests have their turn."""
AGAIN_S: Final = 1
SPARE_S: Final = 1.0
"""Longer than librdkafka takes to give up what it could not deliver in time."""


class Status(StrEnum):
    """What became of a record."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNACKNOWLEDGED = "unacknowledged"


@dataclass(slots=True)
class Result:
    """What became of one record."""

    status: Status
    id: str = ""
    partition: int = -1
    offset: int = -1
    code: str = ""
    path: str = ""
    reason: str = ""

    def told(self, at: int) -> dict[str, Any]:
        """Return it as an answer has it: what there is of it, and which of the request it is."""
        if self.status is Status.ACCEPTED:
            return {
                "at": at,
                "status": self.status.value,
                "id": self.id,
                "partition": self.partition,
                "offset": self.offset,
            }
        told: dict[str, Any] = {"at": at, "status": self.status.value}
        if self.id:
            told["id"] = self.id
        if self.code:
            told |= {"code": self.code, "path": self.path, "reason": self.reason}
        elif self.reason:
            told["reason"] = self.reason
        return told


class FailedError(Exception):
    """librdkafka has given up for good; the process has to be started again."""


class _Reports:
    """Wakes the loop once, when all messages that were sent have a report."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._count, self._expected = 0, -1
        self._told: asyncio.Future[None] = self._loop.create_future()

    def one(self) -> None:
        """Count a report; any thread may."""
        with self._lock:
            self._count += 1
            is_last = self._count == self._expected
        if is_last:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self._told.done():
            self._told.set_result(None)

    async def all(self, expected: int, s_max: float) -> None:
        """Wait until so many were counted, or so long [s]."""
        with self._lock:
            self._expected = expected
            if self._count == expected:
                return
        await asyncio.wait({self._told}, timeout=s_max)


class _Sent:
    """A record on its way. Called by librdkafka, in any thread, with its report."""

    __slots__ = ("_reports", "key", "offset", "partition", "result", "value")

    def __init__(self, result: Result, reports: _Reports, key: bytes, value: bytes) -> None:
        self.result, self._reports, self.key, self.value = result, reports, key, value
        self.partition = self.offset = -1

    def __call__(self, error: object, message: Any) -> None:
        """Take the report."""
        if error is None:
            self.partition, self.offset = message.partition(), message.offset()
        self._reports.one()


class Intake:
    """Takes activities in; a context manager, one of a process. Leaving it flushes.

    Args:
        settings: Limits.
        metrics: What is counted.
        is_traced: Whether records carry the span of their request.
    """

    def __init__(
        self, settings: GatewaySettings, metrics: GatewayMetrics, *, is_traced: bool = False
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        # What a counter has when it is first seen is no increase to Prometheus.
        for status in Status:
            metrics.records.labels(status.value)
        self._recent = Recent(settings.gateway_recent_max)
        self._message_of = Messages(
            settings.client, None, now_ms, SENT_IN.get if is_traced else None
        ).of
        self._way = Direct(settings.client)
        self._failed, self._failure = asyncio.Event(), ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Nobody was told that what is left was accepted.
        if left := self._way.close(self._settings.client.client_close_s_max):
            tell(LOG, "records_undelivered", records=left)

    @property
    def waiting(self) -> int:
        """Records that the broker has not acknowledged."""
        return self._way.waiting

    async def watch(self) -> None:
        """Wait for ever, or until librdkafka has given up.

        Raises:
            FailedError: It has.
        """
        await self._failed.wait()
        raise FailedError(self._failure)

    def check_room(self, count: int) -> None:
        """Refuse so many records while too many wait for the broker.

        Raises:
            ProblemError: 503; come again.
        """
        if not self.has_room(count):
            raise away("Too many records wait for the broker.")

    def has_room(self, count: int) -> bool:
        """Return whether so many records more may wait for the broker."""
        return self.waiting + count <= self._settings.gateway_buffer_records_max

    async def take(self, found: Iterable[Found]) -> list[Result]:
        """Send activities, and return what became of each once the broker has spoken.

        They are drawn one by one, so that others have their turn between them.
        """
        return await self._all(self._one, found)

    async def take_written(self, written: Written, source: str, record: str) -> list[Result]:
        """Send records that are written already; as `take`."""
        topic, now = self._settings.topic(topic_of(record)), now_ms()
        headers = headers_of(SENT_IN.get())

        def one(row: tuple[str, str, int, bytes], reports: _Reports, sent: list[_Sent]) -> Result:
            number, account, revision, value = row
            key = self._recent.key(topic, account, source, number, revision)
            message = topic, account.encode(), value, now, headers
            return self._send(number, key, message, reports, sent)

        rows = zip(written.ids, written.accounts, written.revisions, written.values, strict=True)
        return await self._all(one, rows)

    async def _all(
        self, send: Callable[[T, _Reports, list[_Sent]], Result], found: Iterable[T]
    ) -> list[Result]:
        reports = _Reports()
        results: list[Result] = []
        sent: list[_Sent] = []
        for number, one in enumerate(found, start=1):
            results.append(send(one, reports, sent))
            if number % TURN == 0:
                await asyncio.sleep(0)
        if sent:
            await reports.all(len(sent), self._settings.gateway_ack_s_max + SPARE_S)
            self._read(sent)
        for status, count in Counter([result.status for result in results]).items():
            self._metrics.records.labels(status.value).inc(count)
        return results

    def _one(self, found: Found, reports: _Reports, sent: list[_Sent]) -> Result:
        if isinstance(found, Refused):
            return Result(Status.REFUSED, code=found.code, path=found.path, reason=found.reason)
        number = identity_of(found)
        try:
            message = self._message_of(found)
        except RefusedError as refused:
            return Result(
                Status.REFUSED,
                # What was refused may have anything for an id, halves of characters among it.
                number if isinstance(number, str) and number.isprintable() else "",
                code=refused.code,
                path="$",
                reason=refused.reason,
            )
        key = self._recent.key(message[0], found.account_id, found.source, number, found.revision)
        return self._send(number, key, message, reports, sent)

    def _send(
        self, number: str, key: bytes, message: Message, reports: _Reports, sent: list[_Sent]
    ) -> Result:
        value = self._recent.value(message[2])
        before = self._recent.before(key, value)
        if before is Before.SAME:
            return Result(Status.REPEATED, number)
        if before is Before.OTHER:
            return Result(
                Status.CONFLICT,
                number,
                reason="an event of this id was accepted with other values; those count",
            )
        result = Result(Status.UNACKNOWLEDGED, number)
        one = _Sent(result, reports, key, value)
        if self._offered(message, one):
            sent.append(one)
        else:
            result.reason = "too many records wait for the broker"
        return result

    def _offered(self, message: Message, one: _Sent) -> bool:
        try:
            if self._way.offer(message, one):
                return True
            self._way.make_room(0)
            return self._way.offer(message, one)
        except NotDeliveredError as error:
            self._failure = str(error)
            self._failed.set()
            return False

    def _read(self, sent: Sequence[_Sent]) -> None:
        add = self._recent.add
        for one in sent:
            result = one.result
            if one.offset >= 0:
                result.status = Status.ACCEPTED
                result.partition, result.offset = one.partition, one.offset
                add(one.key, one.value)
            else:
                # What librdkafka says of the broker is not for senders.
                result.reason = "the broker did not acknowledge it in time"


def away(why: str) -> ProblemError:
    """Return the problem that the broker does not take records now."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE, "broker-away", why, {"retry-after": str(AGAIN_S)}
    )
