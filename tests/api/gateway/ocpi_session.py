"""A Session of OCPI that comes in two parts: begun, and ended."""

from collections.abc import Mapping
from typing import Any, Final

SESSION: Final[Mapping[str, Any]] = {
    "country_code": "BE",
    "party_id": "BEC",
    "id": "101",
    "start_date_time": "2023-06-29T22:39:09Z",
    "kwh": 0,
    "cdr_token": {"uid": "123abc", "contract_id": "NL-TST-C12345678-S"},
    "location_id": "LOC1",
    "evse_uid": "3256",
    "status": "ACTIVE",
    "last_updated": "2023-06-29T22:39:09Z",
}
ENDED: Final[Mapping[str, Any]] = {
    "kwh": 41.12,
    "end_date_time": "2023-06-29T23:50:16Z",
    "status": "COMPLETED",
    "last_updated": "2023-06-29T23:50:17Z",
}


def place(number: str = "101", version: str = "2.2.1") -> str:
    """Return the path of a session."""
    return f"/ocpi/{version}/sessions/BE/BEC/{number}"
