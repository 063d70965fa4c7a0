-- Whose a refused record is, how often it had been sent again before, and how large it was where its bytes are cut.
-- A row of the origin `replay` is no refusal: it says that the refusal `replay_of` was sent again, to topic, partition and offset.
ALTER TABLE ${database}.refusals
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) AFTER line,
    ADD COLUMN IF NOT EXISTS account_id String AFTER source,
    ADD COLUMN IF NOT EXISTS attempt Int32 AFTER account_id,
    ADD COLUMN IF NOT EXISTS replay_of String AFTER attempt,
    ADD COLUMN IF NOT EXISTS value_bytes Nullable(Int64) AFTER replay_of;

CREATE OR REPLACE VIEW ${database}.refused AS
SELECT * FROM ${database}.refusals FINAL WHERE origin != 'replay' SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW ${database}.replays AS
SELECT * FROM ${database}.refusals FINAL WHERE origin = 'replay' SETTINGS do_not_merge_across_partitions_select_final = 1;
