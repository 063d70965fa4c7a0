-- What was erased: the places of raw activities that are gone, so that verify still counts their records. Whose they were
-- is not kept.
CREATE TABLE IF NOT EXISTS ${database}.erasures
(
    topic LowCardinality(String),
    erased_at DateTime64(3, 'UTC'),
    _rekeyed_from Nullable(String),
    _partition Int32,
    _offset Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(erased_at)
ORDER BY (topic, _partition, _offset);

-- Where records were, stored or erased, each once: a sink that reads a topic again can bring an erased row back.
CREATE OR REPLACE VIEW ${database}.session_places AS
SELECT _partition, _offset, _rekeyed_from FROM ${database}.sessions WHERE (_partition, _offset) NOT IN
    (SELECT _partition, _offset FROM ${database}.erasures WHERE topic = 'charging-sessions')
UNION ALL
SELECT _partition, _offset, _rekeyed_from FROM ${database}.erasures FINAL WHERE topic = 'charging-sessions';

CREATE OR REPLACE VIEW ${database}.trip_places AS
SELECT _partition, _offset, _rekeyed_from FROM ${database}.trips WHERE (_partition, _offset) NOT IN
    (SELECT _partition, _offset FROM ${database}.erasures WHERE topic = 'freight-trips')
UNION ALL
SELECT _partition, _offset, _rekeyed_from FROM ${database}.erasures FINAL WHERE topic = 'freight-trips';
