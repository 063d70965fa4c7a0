"""The breaker: a broken producer, schema or rule must not empty a topic into refusals.

Each source has its own account of how many of its records were refused: in a row, and of all since
it was first refused. It opens before the slice that is too much is delivered, so that nothing of it
is refused. A record that cannot be read has no source; such records are held against all records,
because any of them may be of the same sender.

A source is watched from its first refusal on, and forgotten when its refusals are long past: as
long as nothing is refused, nothing is done. The account is of this process, and goes with each
offset that is committed (`kept`): a worker that is started again goes on from there (`recall`), so
that restarts let nothing more through.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

import numpy as np
import pyarrow as pa

from carbon.exact import Int64Array
from schemas.log_events import tell
from streams.read import ReadSlice
from streams.slice import Slice
from streams.step import Outcome

log = logging.getLogger("carbonflow.worker")

WATCHED_MAX: Final = 10_000
"""Sources watched at a time; beyond it those with the fewest refusals are forgotten."""

SAMPLE_RECORDS: Final = 512
"""Records of a slice that stand for all of it where nothing is refused."""

KEPT_MAX: Final = 20
"""Sources whose account goes with an offset, those with the most refusals."""

KEPT_BYTES_MAX: Final = 4_000
"""Of that text; brokers take 4,096 (`offset.metadata.max.bytes`)."""

# Multiples of the golden ratio lie evenly and in no step with sources that take turns.
_SAMPLE: Final = np.arange(SAMPLE_RECORDS) * ((5**0.5 - 1) / 2) % 1

Name = str | None
"""A source; None for records that cannot be read."""


class BreakerOpen(RuntimeError):
    """Too much of a source was refused; nothing of the slice that was too much is delivered."""


@dataclass(slots=True)
class _Watched:
    """A source since it was first refused: its records, and how many were refused in a row."""

    records: int = 0
    refused: int = 0
    run: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def halve(self) -> None:
        """Let the past count for less."""
        self.records //= 2
        self.refused //= 2
        self.codes = +Counter({code: count // 2 for code, count in self.codes.items()})


@dataclass(frozen=True, slots=True)
class _Seen:
    """A source in a slice: records, refused ones, the longest run of those, the one it ends in."""

    name: Name
    records: int
    refused: int = 0
    longest: int = 0
    run: int = 0


class Breaker:
    """Holds refusals against their sources.

    Args:
        run_max: Refused records of a source in a row at which it opens; 0 is never.
        share_max: Share of a source's records, refused, at which it opens; 0 is never.
        share_records_min: Records of a source that its share is taken over at least.
    """

    def __init__(
        self, run_max: int, *, share_max: float = 0.0, share_records_min: int = 10_000
    ) -> None:
        self._run_max = run_max
        self._share_max = share_max
        self._share_records_min = max(1, share_records_min)
        self._watched: dict[Name, _Watched] = {}

    def check(self, taken: ReadSlice, outcome: Outcome) -> None:
        """Take note of a slice before it is delivered.

        Raises:
            BreakerOpen: Too much of a source was refused.
        """
        if not (outcome.refused or self._watched) or not (self._run_max or self._share_max):
            return
        seen, codes = self._of_sources(taken, outcome)
        unread = np.array([bad.position for bad in taken.unreadable], dtype=np.int64)
        if len(unread) or None in self._watched:
            seen.append(self._seen(None, len(taken.part), unread))
            codes[None] = Counter(bad.code for bad in taken.unreadable)
        self._note(seen, codes, taken.part)

    def kept(self, now_us: int) -> str:
        """Return what goes with an offset that is committed now: the account, as far as it fits."""
        most = nlargest(KEPT_MAX, self._watched.items(), key=lambda each: each[1].refused)
        accounts: list[str] = []
        left = KEPT_BYTES_MAX - len(_kept(now_us, []))
        for name, watched in most:
            row = (name, watched.records, watched.refused, watched.run, watched.codes)
            account = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            size = len(account.encode()) + 1
            if size <= left:
                accounts.append(account)
                left -= size
        return _kept(now_us, accounts)

    def recall(self, texts: Iterable[str]) -> None:
        """Go on from the newest of some texts that went with offsets.

        Where nothing is held against anybody all of it is forgotten.
        """
        if not (self._run_max or self._share_max):
            return
        found = [told for text in texts if (told := _told(text)) is not None]
        if found:
            _, self._watched = max(found, key=lambda told: told[0])

    def _of_sources(
        self, taken: ReadSlice, outcome: Outcome
    ) -> tuple[list[_Seen], dict[Name, Counter[str]]]:
        """Return what the sources did that are watched or refused, and the codes of refusals."""
        unread = {bad.position for bad in taken.unreadable}
        refused = {bad.position: bad.code for bad in outcome.refused if bad.position not in unread}
        if not refused:
            return self._good(taken), {}
        encoded = taken.activities.source.dictionary_encode()
        names, source = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        places = np.sort(np.fromiter(refused, np.int64, len(refused)))
        rows = np.searchsorted(taken.positions, places)
        codes: dict[Name, Counter[str]] = defaultdict(Counter)
        for place, at in zip(places.tolist(), source[rows].tolist(), strict=True):
            codes[names[at]][refused[place]] += 1
        # The rows of each source, one source after another.
        order = np.argsort(source, kind="stable")
        is_bad = np.zeros(len(source), dtype=np.bool_)
        is_bad[rows] = True
        ends = np.cumsum(np.bincount(source, minlength=len(names)))
        seen = []
        for name, mine in zip(names, np.split(order, ends[:-1]), strict=True):
            if name in codes or name in self._watched:
                bad = np.flatnonzero(is_bad[mine])
                seen.append(self._seen(name, len(mine), bad))
        return seen, codes

    def _seen(self, name: Name, records: int, bad: Int64Array) -> _Seen:
        """Return what a source did, given which of its records are refused, ascending."""
        if not len(bad):
            return _Seen(name, records)
        before = self._watched[name].run if name in self._watched else 0
        first = np.flatnonzero(np.diff(bad, prepend=-2) > 1)
        runs = np.diff(first, append=len(bad))
        if bad[0] == 0:
            runs[0] += before
        ends_bad = bad[-1] == records - 1
        return _Seen(name, records, len(bad), int(runs.max()), int(runs[-1]) if ends_bad else 0)

    def _good(self, taken: ReadSlice) -> list[_Seen]:
        """Return what the watched sources did in a slice of which nothing is refused.

        Where no run has to be ended, a sample says how many records each has: it is asked in every
        slice as long as there are stray refusals, and for shares it is good enough.
        """
        source = taken.activities.source
        records = len(source)
        runs = any(each.run for name, each in self._watched.items() if name is not None)
        if not runs and records > SAMPLE_RECORDS:
            source = source.take(pa.array((_SAMPLE * records).astype(np.int64)))
        encoded = source.dictionary_encode()
        counts = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
        counts = counts * records // max(1, len(source))
        every: dict[Name, int] = dict(
            zip(encoded.dictionary.to_pylist(), counts.tolist(), strict=True)
        )
        return [_Seen(name, every[name]) for name in self._watched if name in every]

    def _note(self, seen: Sequence[_Seen], codes: Mapping[Name, Counter[str]], part: Slice) -> None:
        for each in seen:
            watched = self._watched.setdefault(each.name, _Watched())
            watched.records += each.records
            watched.refused += each.refused
            watched.run = each.run
            watched.codes.update(codes.get(each.name, {}))
            if self._run_max and each.longest >= self._run_max:
                why = f"{each.longest} in a row", "CARBONFLOW_BREAKER_RECORDS"
                raise _open(each.name, watched, part, *why)
            if self._share_max and watched.records >= self._share_records_min:
                share = watched.refused / watched.records
                # A source that was mended goes on, whatever was refused of it before.
                if min(share, each.refused / each.records) >= self._share_max:
                    why = f"a share of {share:.0%}", "CARBONFLOW_BREAKER_SHARE"
                    raise _open(each.name, watched, part, *why)
            if watched.records >= 2 * self._share_records_min:
                watched.halve()
            if not watched.refused and not watched.run:
                del self._watched[each.name]
        if len(self._watched) > WATCHED_MAX:
            most = nlargest(WATCHED_MAX // 2, self._watched, key=lambda n: self._watched[n].refused)
            self._watched = {name: self._watched[name] for name in most}


def _kept(now_us: int, accounts: Sequence[str]) -> str:
    return f'{{"at":{now_us},"refused":[{",".join(accounts)}]}}'


def _told(text: str) -> tuple[int, dict[Name, _Watched]] | None:
    """Return when a text was kept, and the account; None where somebody else wrote it."""
    try:
        kept = json.loads(text)
        watched = {
            None if name is None else str(name): _Watched(
                int(records), int(refused), int(run), Counter(codes)
            )
            for name, records, refused, run, codes in kept["refused"]
        }
        return int(kept["at"]), watched
    except (ValueError, TypeError, KeyError) as error:
        tell(log, "breaker_forgets", reason=f"{error!r} in {text[:80]!r}")
        return None


def _open(name: Name, watched: _Watched, part: Slice, why: str, setting: str) -> BreakerOpen:
    tell(
        log,
        "slice_refused",
        **part.coordinates(),
        source=name,
        refused=watched.refused,
        watched=watched.records,
        why=why,
        codes=dict(watched.codes),
        setting=setting,
    )
    return BreakerOpen(_message(name, watched, part, why, setting))


def _message(name: Name, watched: _Watched, part: Slice, why: str, setting: str) -> str:
    whose = "records that cannot be read" if name is None else f"records of source {name!r}"
    codes = ", ".join(f"{count} {code}" for code, count in watched.codes.most_common())
    return (
        f"{whose}: {watched.refused} of the last {watched.records} refused, {why} ({codes}); the "
        f"slice of {part.topic} {part.partition} from offset {int(part.offsets[0])} on is left as "
        "it was. Mend what its records lack and start the worker again, which goes on with these "
        f"counts; or stop the sender and let them be refused with a higher {setting} (0: no "
        "limit), and later `carbonflow refusals replay`"
    )
