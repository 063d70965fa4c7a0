"""Which published factor an activity would get: the workers' match, over what an API lists.

Factors are taken in the order of their publication, as the workers take them: of two for the same,
the later published wins.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

import numpy as np

from carbon.factors import Factor, FactorTable, Fallback, how_name
from carbon.regions import chain
from embedded.answers import Answers

_OPEN_FROM_MS = 0
_OPEN_TO_MS = 253_402_300_800_000
_PAGE_ROWS = 1000


class NoMatchError(Exception):
    """No factor fits, or the instant is none; the message says so."""


def match_factor(
    answers: Answers, region: str, at: str, *, kind: str, subject: str, unit: str, boundary: str
) -> dict[str, Any]:
    """Return the factor of a region and instant with all fallbacks allowed, and how it matched.

    Args:
        answers: Whom to ask for factors.
        region: Region of the activity; its parents are tried too.
        at: The instant, RFC 3339 with an offset.
        kind: Kind of factor.
        subject: What it is for.
        unit: The unit of its value.
        boundary: ttw or wtw.

    Returns:
        `how`, `value_mg` and `factor`, the factor as the API lists it.

    Raises:
        NoMatchError: None fits.
        NoAnswerError: Nobody can be asked.
    """
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        raise NoMatchError(f"{at!r} is no instant such as 2026-03-01T08:00:00Z") from None
    if instant.tzinfo is None:
        raise NoMatchError(f"{at!r} lacks its offset from UTC, such as Z")
    listed = [
        one
        for place in chain(region)
        for one in _listed(answers, place, kind=kind, subject=subject, boundary=boundary)
    ]
    listed.sort(key=lambda one: int(one["published_order"]))
    table = FactorTable.of(_factor(one) for one in listed)
    match = table.at(
        kind,
        boundary,
        [(region, subject, unit)],
        np.zeros(1, dtype=np.int32),
        np.array([int(instant.timestamp() * 1000)], dtype=np.int64),
        Fallback(place=True, time=True, age_ms_max=_OPEN_TO_MS),
    )
    index = int(match.factor[0])
    if index < 0:
        raise NoMatchError(
            f"no {kind} factor for {subject} per {unit} ({boundary}) fits {region} at {at}"
        )
    found = listed[index]
    return {"how": how_name(int(match.how[0])), "value_mg": found["value_mg"], "factor": found}


def _listed(answers: Answers, region: str, **which: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = answers.get("/v1/factors", region=region, cursor=cursor, limit=_PAGE_ROWS, **which)
        rows += page["factors"]
        cursor = page["next_cursor"]
        if cursor is None:
            return rows


def _factor(listed: dict[str, Any]) -> Factor:
    values = {field.name: listed[field.name] for field in fields(Factor)}
    values["valid_from"] = _instant_ms(listed["valid_from"], _OPEN_FROM_MS)
    values["valid_to"] = _instant_ms(listed["valid_to"], _OPEN_TO_MS)
    return Factor(**values)


def _instant_ms(instant: str | None, when_open_ms: int) -> int:
    if instant is None:
        return when_open_ms
    return round(datetime.fromisoformat(instant).timestamp() * 1000)
