"""Refusals over a running stack: refused, mended, sent again, booked once; and poison ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from producers.client.columns import CarbonflowProducer
from schemas.settings import BrokerSettings
from schemas.singles import encode_one
from streams.warm import SESSION
from tests.end_to_end.command import CARBONFLOW, call, environment
from tests.end_to_end.up import Up, up

TOPIC = "charging-sessions"
REGION = "REPLAY-LAND"
GRID_MG_PER_KWH = 500_000
ENERGY_WH = 20_000
FACTORS = f"""\
factor_id,kind,region,subject,boundary,gas,value_mg,unit,publisher,licence
land:1,grid_average,{REGION},electricity,ttw,co2,{GRID_MG_PER_KWH},kwh,Test,own
"""
MAPPING = f"""
name = "depot"
record = "charging_session"
zone = "UTC"
[fields]
session_id = "id"
source = {{ value = "depot" }}
account_id = "driver"
programme = {{ value = "cn-charging" }}
vehicle_class = {{ column = "car", lookup = "classes" }}
grid_region = {{ value = "{REGION}" }}
started_at = "start"
ended_at = "end"
energy_wh = {{ column = "kwh", unit = "kWh" }}
meter_side = {{ value = "grid" }}
current = {{ value = "ac" }}
operator_id = {{ value = "me" }}
evse_id = {{ value = "e" }}
[lookup.classes]
Saloon = "car"
"""
ROWS = """\
id,driver,start,end,kwh,car
d1,dora,2023-07-01T10:00,2023-07-01T11:00,20,Saloon
d2,dora,2023-07-01T12:00,2023-07-01T13:00,20,Estate
d3,dora,2023-07-01T14:00,2023-07-01T15:00,20,Estate
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that is up; its data are in `books` beside what it says."""
    with up(tmp_path_factory.mktemp("refusals")) as running:
        running.until(running.is_ready)
        yield running


def told(stack: Up, *words: str) -> dict[str, object]:
    """Return the JSON a command prints about the stack."""
    books = stack.warned.parent / "books"
    done = call(*words, "--data-dir", str(books), "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def send(stack: Up, sessions: Sequence[dict[str, object]]) -> None:
    messages = [
        (str(one["account_id"]).encode(), encode_one("charging_session", one)) for one in sessions
    ]

    async def sent() -> None:
        async with CarbonflowProducer(BrokerSettings(bootstrap=stack.bootstrap)) as producer:
            await producer.send_raw(TOPIC, messages)

    asyncio.run(sent())


def session(number: int, account: str, **changes: object) -> dict[str, object]:
    identity = {"session_id": f"{account}-{number}", "account_id": account, "source": account}
    return {**SESSION, **identity, "energy_wh": ENERGY_WH, **changes}


def refused(stack: Up, source: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = stack.get(f"/v1/refusals?source={source}")["refusals"]
    return found


def is_verified(stack: Up) -> bool:
    return bool(stack.get("/v1/verify") == {"ok": True, "drift": [], "waiting": 0})


def has_new_factors(stack: Up) -> bool:
    """Return whether the worker has taken up factors since it began."""
    log = stack.warned.parent / "books" / "logs" / "worker-0.log"
    return "factors in force after an update" in log.read_text()


def test_refused_for_a_factor_published_since_it_is_booked_once(stack: Up, tmp_path: Path) -> None:
    send(stack, [session(number, "anna", grid_region=REGION) for number in range(3)])
    stack.until(lambda: len(refused(stack, "anna")) == 3)
    which = ("refusals", "replay", "--code", "factor_not_found", "--source", "anna")
    dry = told(stack, *which, "--dry-run")
    assert (dry["sent"], dry["passed_over"]) == (3, {})
    assert not any(row["is_replayed"] for row in refused(stack, "anna"))

    table = tmp_path / "land.csv"
    table.write_text(FACTORS)
    assert told(stack, "factors", "load", f"csv:{table}")["published"] == 1
    stack.until(lambda: has_new_factors(stack))

    assert told(stack, *which)["sent_by_code"] == {"factor_not_found": 3}
    stack.until(lambda: stack.has("/v1/accounts/anna/balance", "session_count", 3))
    balance = stack.get("/v1/accounts/anna/balance")
    assert balance["emissions_mg"] == 3 * GRID_MG_PER_KWH * ENERGY_WH // 1000
    assert balance["energy_wh"] == 3 * ENERGY_WH
    stack.until(lambda: is_verified(stack))

    again = told(stack, *which)
    assert (again["sent"], again["passed_over"]) == (0, {"sent_before": 3})
    stack.until(lambda: all(row["is_replayed"] for row in refused(stack, "anna")))
    assert told(stack, "refusals", "list", "--source", "anna", "--open")["refusals"] == []


def test_an_event_booked_meanwhile_is_a_duplicate(stack: Up) -> None:
    late = session(1, "berta", ended_at=SESSION["started_at"], started_at=SESSION["ended_at"])
    send(stack, [late])
    stack.until(lambda: len(refused(stack, "berta")) == 1)
    send(stack, [session(1, "berta")])
    stack.until(lambda: stack.has("/v1/accounts/berta/balance", "session_count", 1))
    assert told(stack, "refusals", "replay", "--source", "berta")["sent"] == 1
    stack.until(lambda: stack.has("/v1/accounts/berta/balance", "duplicate_count", 1))
    assert len(refused(stack, "berta")) == 1
    stack.until(lambda: is_verified(stack))


def test_poison_is_refused_once_an_attempt_and_passed_over_at_the_cap(stack: Up) -> None:
    send(stack, [session(1, "carl", energy_wh=-1)])
    which = ("refusals", "replay", "--source", "carl")
    for attempts in range(3):
        stack.until(lambda: len(refused(stack, "carl")) == attempts + 1)  # noqa: B023
        assert told(stack, *which)["sent"] == 1
    stack.until(lambda: len(refused(stack, "carl")) == 4)
    assert sorted(row["attempt"] for row in refused(stack, "carl")) == [0, 1, 2, 3]  # type: ignore[type-var]
    last = told(stack, *which)
    assert (last["sent"], last["passed_over"]) == (0, {"sent_before": 3, "attempts": 1})
    stack.until(lambda: is_verified(stack))
    assert len(refused(stack, "carl")) == 4


def test_rows_of_a_file_are_booked_under_a_mended_mapping(stack: Up, tmp_path: Path) -> None:
    mapping, mended, table = (tmp_path / name for name in ("a.toml", "b.toml", "rows.csv"))
    mapping.write_text(MAPPING)
    mended.write_text(f'{MAPPING}Estate = "car"\n')
    table.write_text(ROWS)
    books = stack.warned.parent / "books"
    words = ("load", "--charging", str(table), "--mapping", str(mapping), "--json")
    done = call(*words, "--data-dir", str(books))
    assert json.loads(done.stdout)[0]["refused"] == {"row_bad_value": 2}, done.stderr
    which = ("refusals", "replay", "--file", str(table), "--mapping")
    still = told(stack, *which, str(mapping))
    assert (still["sent"], still["passed_over"]) == (0, {"still_unmapped": 2})
    assert told(stack, *which, str(mended))["sent"] == 2
    stack.until(lambda: stack.has("/v1/accounts/dora/balance", "session_count", 3))
    again = told(stack, *which, str(mended))
    assert (again["sent"], again["passed_over"]) == (0, {"sent_before": 2})
    stack.until(lambda: is_verified(stack))


def test_an_interrupted_replay_says_how_far_it_came_and_goes_on(stack: Up) -> None:
    send(stack, [session(number, "emil", energy_wh=-1) for number in range(6)])
    stack.until(lambda: len(refused(stack, "emil")) == 6)
    books = stack.warned.parent / "books"
    words = ("refusals", "replay", "--source", "emil", "--rate", "1", "--data-dir", str(books))
    slow = subprocess.Popen(
        [CARBONFLOW, *words], stderr=subprocess.PIPE, text=True, env=environment()
    )

    def replayed() -> int:
        return sum(bool(row["is_replayed"]) for row in refused(stack, "emil"))

    stack.until(lambda: replayed() >= 1)
    slow.send_signal(signal.SIGINT)
    _, told_of_it = slow.communicate(timeout=30)
    assert slow.returncode == 130
    said = re.search(r"^(\d) records? sent; the same command sends the others$", told_of_it, re.M)
    assert said, told_of_it
    sent = int(said[1])
    assert 1 <= sent < 6
    rest = told(stack, "refusals", "replay", "--source", "emil", "--attempts-max", "1")
    passed_over = rest["passed_over"]
    assert isinstance(passed_over, dict)
    assert (rest["sent"], passed_over["sent_before"]) == (6 - sent, sent)
    stack.until(lambda: len(refused(stack, "emil")) == 12)
    stack.until(lambda: is_verified(stack))
