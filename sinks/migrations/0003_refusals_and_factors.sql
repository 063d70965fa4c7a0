-- What was refused, with its raw bytes, and the figures everything else was computed with.
-- A loader's refusal names file and line, a worker's the record's place in Kafka; the other columns are null.
CREATE TABLE IF NOT EXISTS ${database}.refusals
(
    code LowCardinality(String),
    reason String CODEC(ZSTD(3)),
    origin LowCardinality(String),
    topic LowCardinality(String),
    partition Nullable(Int32),
    offset Nullable(Int64),
    timestamp Nullable(DateTime64(3, 'UTC')),
    file LowCardinality(String),
    line Nullable(Int64),
    key Nullable(String),
    value String CODEC(ZSTD(3)),
    _partition Int32,
    _offset Int64 CODEC(Delta, ZSTD),
    _timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(_offset)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (_partition, _offset);

-- An open validity ends in the year 10000: the column keeps the milliseconds, and shows the last instant it can print.
CREATE TABLE IF NOT EXISTS ${database}.factors
(
    factor_id String,
    kind LowCardinality(String),
    region LowCardinality(String),
    subject LowCardinality(String),
    boundary LowCardinality(String),
    gas LowCardinality(String),
    value_mg Int64 CODEC(T64, ZSTD),
    unit LowCardinality(String),
    valid_from DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    valid_to DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    release LowCardinality(String),
    publisher LowCardinality(String),
    publication LowCardinality(String),
    url LowCardinality(String),
    licence LowCardinality(String),
    evidence LowCardinality(String),
    uncertainty_permille Nullable(Int32),
    _partition Int32,
    _offset Int64 CODEC(Delta, ZSTD),
    _timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (release, factor_id);
