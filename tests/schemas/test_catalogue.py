"""The catalogue is consistent, complete and stable."""

import json

import pytest

from carbon.refusal import REFUSALS
from schemas import catalogue
from schemas.catalogue import (
    ACTIVITY_TOPICS,
    LATE_OF,
    TOPICS,
    AvroSchema,
    CatalogueError,
    Topic,
    shipped,
)
from schemas.fields import fields_of, resolve

ALL = list(shipped().schemas.values())
FORBIDDEN = {"array", "fixed", "decimal", "uuid", "float", "double"}


def test_the_topics_are_those_of_the_design() -> None:
    assert set(TOPICS) == {
        "charging-sessions",
        "freight-trips",
        "late-charging-sessions",
        "late-freight-trips",
        "emission-factors",
        "transfers",
        "account-balances",
        "refusals",
    }


def test_activity_topics_share_key_and_number_of_partitions() -> None:
    activities = [TOPICS[name] for name in ACTIVITY_TOPICS]
    assert {topic.key for topic in activities} == {"account_id"}
    assert len({topic.partitions for topic in activities}) == 1


def test_a_late_lane_is_as_its_activity_topic_and_keeps_records_longer() -> None:
    for activity, late in LATE_OF.items():
        topic, lane = TOPICS[activity], TOPICS[late]
        assert (lane.record, lane.partitions) == (topic.record, topic.partitions)
        assert (lane.retention_ms or 0) > (topic.retention_ms or 0)


def test_the_ledger_is_kept_for_ever() -> None:
    assert TOPICS["transfers"].config == {"cleanup.policy": "delete", "retention.ms": "-1"}


def test_compacted_topics_leave_retention_to_compaction() -> None:
    assert TOPICS["account-balances"].config == {"cleanup.policy": "compact"}


def test_ids_never_move() -> None:
    ids = {record: catalogue.schema_id(record) for record in shipped().current}
    assert ids == {
        "charging_session": 1,
        "freight_trip": 2,
        "emission_factor": 3,
        "transfer": 4,
        "account_balance": 5,
    }


@pytest.mark.parametrize("schema", ALL, ids=lambda s: f"{s.record}.v{s.version}")
def test_a_published_version_never_changes(schema: AvroSchema) -> None:
    published = catalogue.published_digests()[schema.schema_id]
    assert catalogue.digest(schema.text) == published


@pytest.mark.parametrize("schema", ALL, ids=lambda s: f"{s.record}.v{s.version}")
def test_every_field_has_a_doc_and_a_type_that_both_codecs_know(schema: AvroSchema) -> None:
    assert json.loads(schema.text)["doc"]
    assert all(field.doc for field in fields_of(schema))
    assert not FORBIDDEN & set(schema.text.replace('"', " ").split())


@pytest.mark.parametrize("writer", ALL, ids=lambda s: f"{s.record}.v{s.version}")
def test_every_version_is_read_as_every_other_of_its_record(writer: AvroSchema) -> None:
    for reader in ALL:
        if reader.record == writer.record:
            assert resolve(writer, reader)


def test_every_code_of_the_wire_is_a_refusal() -> None:
    assert {"not_framed", "unknown_schema", "wrong_record", "undecodable"} <= set(REFUSALS)


def test_a_topic_is_named_with_its_prefix() -> None:
    assert catalogue.full_name("pilot.", "transfers") == "pilot.transfers"


def test_words_of_a_doc_may_change_but_a_default_may_not() -> None:
    text = catalogue.schema_of(1).text
    assert catalogue.digest(text.replace("UTC", "in UTC")) == catalogue.digest(text)
    assert catalogue.digest(text.replace('"default": 0', '"default": 1')) != catalogue.digest(text)


def test_a_catalogue_with_an_id_twice_is_refused() -> None:
    again = AvroSchema(record="charging_session", version=2, schema_id=1, text="{}")
    with pytest.raises(CatalogueError, match="twice"):
        shipped().extended(again, current=False)


def test_a_topic_of_an_unknown_record_is_refused() -> None:
    topic = Topic(
        name="x",
        record="nothing",
        key="",
        cleanup="delete",
        partitions=1,
        retention_ms=1,
        writer="",
        doc="",
    )
    with pytest.raises(CatalogueError, match="nothing"):
        shipped().of([topic], [], {})


def test_an_unknown_record_or_id_is_named() -> None:
    with pytest.raises(CatalogueError, match="train_ride"):
        catalogue.schema_id("train_ride")
    with pytest.raises(CatalogueError, match="99"):
        catalogue.schema_of(99)


def test_topics_can_be_given_another_number_of_partitions_but_one_stays_one() -> None:
    topics = shipped().repartitioned(12).topics
    partitions = {name: topic.partitions for name, topic in topics.items()}
    assert partitions == dict.fromkeys(topics, 12) | {"emission-factors": 1}
