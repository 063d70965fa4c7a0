"""A deployment over a real schema registry, whose ids are not ours."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from producers.factors.release import load_release
from schemas.catalogue import AvroSchema, Catalogue, CatalogueError, shipped, use
from schemas.framing import schema_id_in
from schemas.registry import Registry, RegistryError, registry_at
from schemas.settings import RegistrySettings
from schemas.singles import decode_one
from tests.kafka.registry import registry
from tests.kafka.server import KafkaServer, free_ports
from tests.streams.deployment import Deployment, deployment
from tests.streams.scene import SESSIONS, Event, event, session

pytestmark = pytest.mark.kafka

BOUNDED_S = 120
COMMAND = (sys.executable, "-m", "cli.main", "schemas")
SUBJECTS = len([topic for topic in shipped().topics.values() if topic.record])


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that has given the first ids to somebody else's schemas."""
    with registry(tmp_path_factory.mktemp("taken")) as url:
        with SchemaRegistryClient({"url": url}) as client:
            for number in range(len(shipped().schemas) + 1):
                other = {"type": "record", "name": f"Other{number}", "namespace": "other"}
                text = json.dumps(other | {"fields": [{"name": "x", "type": "int"}]})
                client.register_schema(f"other-{number}", Schema(text, "AVRO"))
        yield url


@contextmanager
def opened(url: str, catalogue: Catalogue, prefix: str) -> Iterator[Registry]:
    with registry_at(RegistrySettings(schema_registry_url=url), catalogue, prefix) as asked:
        yield asked


def run(command: str, url: str, prefix: str, *options: str) -> subprocess.CompletedProcess[str]:
    environ = {"CARBONFLOW_SCHEMA_REGISTRY_URL": url, "CARBONFLOW_PREFIX": prefix}
    return subprocess.run(
        (*COMMAND, command, *options),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUNDED_S,
    )


def registered(url: str, prefix: str) -> dict[str, Any]:
    done = run("register", url, prefix, "--json")
    assert done.returncode == 0, done.stderr
    return {entry["subject"].removeprefix(prefix): entry for entry in json.loads(done.stdout)}


def with_field(record: str, **field: object) -> AvroSchema:
    """Return a next version of a record, with one more field."""
    newest = shipped().newest(record)
    document = json.loads(newest.text)
    document["fields"].append(field)
    return replace(newest, version=newest.version + 1, schema_id=99, text=json.dumps(document))


def test_schemas_go_in_once_and_are_found_again(taken: str, prefix: str) -> None:
    missing = run("check", taken, prefix)
    assert missing.returncode == 1
    assert f"{prefix}transfers-value lacks transfer v1" in missing.stderr
    first = registered(taken, prefix)
    assert len(first) == SUBJECTS
    assert all(entry["made"] for entry in first.values())
    assert first["charging-sessions-value"]["ids"] == first["late-charging-sessions-value"]["ids"]
    again = registered(taken, prefix)
    assert not any(entry["made"] for entry in again.values())
    assert [entry["ids"] for entry in again.values()] == [e["ids"] for e in first.values()]
    done = run("check", taken, prefix)
    assert (done.returncode, done.stderr) == (0, "")
    assert "transfer v1" in done.stdout


def test_a_version_whose_words_were_improved_is_no_new_one(taken: str, prefix: str) -> None:
    registered(taken, prefix)
    schemas = [
        replace(each, text=json.dumps(json.loads(each.text) | {"doc": "Better said."}))
        for each in shipped().schemas.values()
    ]
    improved = Catalogue.of(shipped().topics.values(), schemas, dict.fromkeys(shipped().current, 1))
    with opened(taken, improved, prefix) as asked:
        assert asked.register() == []


def test_a_version_that_cannot_be_read_beside_the_others_stays_out(taken: str, prefix: str) -> None:
    registered(taken, prefix)
    without = shipped().extended(with_field("transfer", name="x", type="int"), current=False)
    with opened(taken, without, prefix) as asked, pytest.raises(RegistryError) as refused:
        asked.register()
    assert "transfers-value" in str(refused.value)
    assert "transfer v2" in str(refused.value)
    optional = with_field("transfer", name="x", type="int", default=0)
    with opened(taken, shipped().extended(optional, current=False), prefix) as asked:
        (made,) = asked.register()
        assert (made.subject, made.schema.version) == (f"{prefix}transfers-value", 2)


def test_an_id_that_means_another_version_to_us_is_refused(taken: str, prefix: str) -> None:
    ids = registered(taken, prefix)["transfers-value"]["ids"]
    newer = replace(with_field("transfer", name="x", type="int", default=0), schema_id=ids[0])
    with opened(taken, shipped().extended(newer, current=False), prefix) as asked:
        asked.register()
        with pytest.raises(CatalogueError, match=rf"^{ids[0]} is transfer v1 to one of"):
            asked.catalogue_of()


def test_what_is_not_registered_ends_a_process_in_one_line(
    kafka: KafkaServer, taken: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(BOUNDED_S), deployment(kafka.bootstrap, tmp_path) as here:
            await here.make_topics()
            worker = here.start(schema_registry_url=taken)
            assert await worker.ended() == 1
            assert "charging-sessions-value lacks charging_session v1" in worker.said()
            assert "Traceback" not in worker.said()

    asyncio.run(scenario())


def test_a_registry_that_is_away_is_named(prefix: str) -> None:
    (port,) = free_ports(1)
    done = run("check", f"http://127.0.0.1:{port}", prefix)
    assert done.returncode == 1
    assert f"the schema registry at http://127.0.0.1:{port} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_registry_is_refused(taken: str, prefix: str) -> None:
    elsewhere = taken.removesuffix("/apis/ccompat/v7")
    done = run("register", elsewhere, prefix)
    assert done.returncode == 1
    assert f"the schema registry at {elsewhere}" in done.stderr
    assert "Traceback" not in done.stderr


def test_everything_is_written_under_the_ids_of_the_registry_and_read_under_ours_too(
    kafka: KafkaServer, taken: str, tmp_path: Path
) -> None:
    def framed(number: int, account: str) -> Event:
        return event(session(session_id=f"S{number}", account_id=account))

    async def scenario(here: Deployment) -> None:
        prefix = here.settings.prefix
        await here.make_topics()
        ids = {name: e["ids"][-1] for name, e in registered(taken, prefix).items()}
        assert not set(ids.values()) & set(shipped().schemas), "the ids prove nothing"
        await here.publish(load_release().factors)  # Under our ids, as before there was a registry.
        ours = [framed(number, "driver-1") for number in range(5)]
        with opened(taken, shipped(), prefix) as asked:
            use(asked.catalogue_of())
        theirs = [framed(number, "driver-1") for number in range(3, 9)]
        await here.send(SESSIONS, [*ours, *theirs])
        worker = here.start(schema_registry_url=taken)
        await here.until_said(" open: ", worker)  # Before, a new broker knows of no groups.
        await here.until_worked(worker)
        (balance,) = (await here.balances()).values()
        assert (balance["session_count"], balance["duplicate_count"]) == (9, 2)
        for topic in ("transfers", "account-balances"):
            found = {schema_id_in(each.value) for each in await here.read(topic)}
            assert found == {ids[f"{topic}-value"]}, topic
        (again, *_) = await here.read("transfers")
        record, _ = decode_one(again.value, record="transfer")
        assert record == "transfer"

    async def bounded() -> None:
        async with asyncio.timeout(BOUNDED_S), deployment(kafka.bootstrap, tmp_path) as here:
            await scenario(here)

    try:
        asyncio.run(bounded())
    finally:
        use(None)
