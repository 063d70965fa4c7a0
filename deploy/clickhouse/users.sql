-- Three users, each with what it needs and nothing else: `migrate` is the migrator, `sink` the writer, `api` and all who
-- ask the store are readers. docs/security.md tells how to run this file and how the passwords come in.
-- Tables are named one by one where a user may not have them all. Another database is another name before each dot.

CREATE USER IF NOT EXISTS carbonflow_migrator IDENTIFIED WITH sha256_password BY {migrator_password:String};
CREATE USER IF NOT EXISTS carbonflow_writer IDENTIFIED WITH sha256_password BY {writer_password:String};
CREATE USER IF NOT EXISTS carbonflow_reader IDENTIFIED WITH sha256_password BY {reader_password:String};

-- Makes the database, its tables and views, and notes what it has done. It drops views to replace them, never tables.
-- It adds columns, and changes none. A view is made by whoever may read what it shows.
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW ON carbonflow.* TO carbonflow_migrator;
GRANT ALTER ADD COLUMN ON carbonflow.* TO carbonflow_migrator;
GRANT SELECT, INSERT ON carbonflow.migrations TO carbonflow_migrator;
GRANT SELECT ON carbonflow.charging_sessions TO carbonflow_migrator;
GRANT SELECT ON carbonflow.freight_trips TO carbonflow_migrator;
GRANT SELECT ON carbonflow.transfers TO carbonflow_migrator;
GRANT SELECT ON carbonflow.balances TO carbonflow_migrator;
GRANT SELECT ON carbonflow.refusals TO carbonflow_migrator;
GRANT SELECT ON carbonflow.factors TO carbonflow_migrator;
GRANT SELECT ON carbonflow.sessions TO carbonflow_migrator;
GRANT SELECT ON carbonflow.trips TO carbonflow_migrator;
GRANT SELECT ON carbonflow.erasures TO carbonflow_migrator;
GRANT TABLE ENGINE ON ReplacingMergeTree TO carbonflow_migrator;
GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO carbonflow_migrator;

-- Adds rows. It reads none, and changes and deletes none: rows replace each other by their keys.
GRANT INSERT ON carbonflow.charging_sessions TO carbonflow_writer;
GRANT INSERT ON carbonflow.freight_trips TO carbonflow_writer;
GRANT INSERT ON carbonflow.transfers TO carbonflow_writer;
GRANT INSERT ON carbonflow.balances TO carbonflow_writer;
GRANT INSERT ON carbonflow.refusals TO carbonflow_writer;
GRANT INSERT ON carbonflow.factors TO carbonflow_writer;

-- Reads. A view reads with the rights of whoever asks it, so the tables behind it are named, too.
GRANT SELECT ON carbonflow.charging_sessions TO carbonflow_reader;
GRANT SELECT ON carbonflow.freight_trips TO carbonflow_reader;
GRANT SELECT ON carbonflow.transfers TO carbonflow_reader;
GRANT SELECT ON carbonflow.balances TO carbonflow_reader;
GRANT SELECT ON carbonflow.refusals TO carbonflow_reader;
GRANT SELECT ON carbonflow.factors TO carbonflow_reader;
GRANT SELECT ON carbonflow.sessions TO carbonflow_reader;
GRANT SELECT ON carbonflow.trips TO carbonflow_reader;
GRANT SELECT ON carbonflow.ledger TO carbonflow_reader;
GRANT SELECT ON carbonflow.accounts TO carbonflow_reader;
GRANT SELECT ON carbonflow.refused TO carbonflow_reader;
GRANT SELECT ON carbonflow.published_factors TO carbonflow_reader;
GRANT SELECT ON carbonflow.replays TO carbonflow_reader;
GRANT SELECT ON carbonflow.erasures TO carbonflow_reader;
GRANT SELECT ON carbonflow.session_places TO carbonflow_reader;
GRANT SELECT ON carbonflow.trip_places TO carbonflow_reader;
