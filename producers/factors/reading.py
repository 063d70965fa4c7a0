"""Exact values out of text: milligrams, instants, whole files.

Nothing here goes through a float or depends on a locale. What cannot be read exactly is a
ValueError whose message completes the sentence "the line is wrong because ...".
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from carbon.limits import FACTOR_MG_MAX
from producers.factors.errors import FactorFileError

_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def read_utf8(path: Path) -> tuple[str, str]:
    """Return a file's text and the first 12 hex digits of the SHA-256 of its bytes.

    Raises:
        FactorFileError: It cannot be opened or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FactorFileError(str(path), ((0, error.strerror or str(error)),)) from error
    except ValueError as error:  # No file can have such a name.
        raise FactorFileError(repr(str(path)), ((0, str(error)),)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FactorFileError(str(path), ((line, "is not UTF-8"),)) from error
    return text, hashlib.sha256(content).hexdigest()[:12]


def milligrams(text: str, *, power: int) -> int:
    """Return an amount in milligrams, given in units of 10**power mg, exactly.

    >>> milligrams("238.34", power=3)  # grams
    238340
    >>> milligrams("0.5568", power=6)  # kilograms
    556800
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number such as 0.5568")
    amount = Decimal(text).scaleb(power)
    if amount != amount.to_integral_value():
        raise ValueError(f"{text} is finer than a milligram")
    if amount > FACTOR_MG_MAX:
        raise ValueError(f"{text} is above the limit of {FACTOR_MG_MAX // 10**6} kg per unit")
    return int(amount)


def instant(text: str) -> int:
    """Return an ISO 8601 date and time with its zone as milliseconds since 1970 UTC.

    >>> instant("2021-01-01T00:00:00+08:00") == instant("2020-12-31T16:00:00Z") == 1609430400000
    True
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2024-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} does not say its time zone, as 2024-01-01T00:00:00+08:00 does")
    since = moment - _EPOCH
    if since < timedelta(0) or since % _MILLISECOND:
        raise ValueError(f"{text!r} is before 1970 or finer than a millisecond")
    return since // _MILLISECOND
