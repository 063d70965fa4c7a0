-- What readers use: one row for each fact, however often it was inserted. A row's partition follows from its key,
-- so parts of different partitions never hold the same row and need not be merged with each other.
CREATE OR REPLACE VIEW ${database}.sessions AS
SELECT * FROM ${database}.charging_sessions FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW ${database}.trips AS
SELECT * FROM ${database}.freight_trips FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW ${database}.ledger AS
SELECT * FROM ${database}.transfers FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW ${database}.accounts AS
SELECT * FROM ${database}.balances FINAL;

CREATE OR REPLACE VIEW ${database}.refused AS
SELECT * FROM ${database}.refusals FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW ${database}.published_factors AS
SELECT * FROM ${database}.factors FINAL;
