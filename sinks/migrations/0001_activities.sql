-- What happened: one row for each record of the two activity topics that could be decoded, booked or not.
-- The key is the record's place in Kafka, so a repeated insert replaces itself and explanations find their inputs.
CREATE TABLE IF NOT EXISTS ${database}.charging_sessions
(
    session_id String,
    source LowCardinality(String),
    account_id String,
    programme LowCardinality(String),
    vehicle_class LowCardinality(String),
    grid_region LowCardinality(String),
    started_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    energy_wh Int64 CODEC(T64, ZSTD),
    meter_side LowCardinality(String),
    current LowCardinality(String),
    operator_id LowCardinality(String),
    evse_id String,
    reversal_of Nullable(String),
    revision Int32,
    _rekeyed_from Nullable(String),
    _partition Int32,
    _offset Int64 CODEC(Delta, ZSTD),
    _timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(_offset)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (_partition, _offset);

CREATE TABLE IF NOT EXISTS ${database}.freight_trips
(
    trip_id String,
    source LowCardinality(String),
    account_id String,
    programme LowCardinality(String),
    vehicle_id String,
    vehicle_class LowCardinality(String),
    energy_carrier LowCardinality(String),
    departed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    arrived_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    distance_m Int64 CODEC(T64, ZSTD),
    distance_basis LowCardinality(String),
    cargo_kg Int64 CODEC(T64, ZSTD),
    empty_distance_m Int64 CODEC(T64, ZSTD),
    energy_used Nullable(Int64),
    origin_region LowCardinality(String),
    destination_region LowCardinality(String),
    data_grade LowCardinality(String),
    reversal_of Nullable(String),
    revision Int32,
    _rekeyed_from Nullable(String),
    _partition Int32,
    _offset Int64 CODEC(Delta, ZSTD),
    _timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(_offset)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (_partition, _offset);
