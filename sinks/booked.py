"""Booked already: which of some activities the ledger has, asked in one query.

What is asked goes beside the query as an external table, not into its text. The accounts pick the
granules, because the ledger is ordered by them; the index of ids is left out, because of thousands
one seems to be in any granule.
"""

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.external import ExternalData

from carbon.exact import BoolArray
from sinks.connect import Client, database_name


def booked_already(
    client: Client,
    accounts: pa.StringArray,
    transfer_ids: pa.StringArray,
    *,
    database: str = "carbonflow",
    answer_s_max: int = 0,
) -> BoolArray:
    """Return which transfers are stored, each under its account, shape (n,).

    Args:
        client: A client to the store over HTTP; a query of chDB takes no table along.
        accounts: account_id of each, shape (n,).
        transfer_ids: transfer_id of each, shape (n,).
        database: Database that holds the tables.
        answer_s_max: After it the store gives up, 0 is never.

    Raises:
        StoreError: The store is away or refuses.
    """
    found = np.zeros(len(accounts), dtype=np.bool_)
    if not len(accounts):
        return found
    asked = pa.record_batch(
        {
            "number": pa.array(np.arange(len(accounts), dtype=np.uint32)),
            "account": accounts,
            "id": transfer_ids,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, asked.schema) as file:
        file.write_batch(asked)
    table = ExternalData(
        file_name="asked",
        data=sink.getvalue().to_pybytes(),
        fmt="Arrow",
        structure="number UInt32, account String, id String",
    )
    rows = client.query(
        f"""
        SELECT number FROM asked WHERE (account, id) IN (
            SELECT account_id, transfer_id FROM {database_name(database)}.transfers
            WHERE account_id IN (SELECT account FROM asked)
            AND transfer_id IN (SELECT id FROM asked))
        """,
        settings={"use_skip_indexes": 0, "max_execution_time": answer_s_max},
        external_data=table,
    ).result_columns
    if rows:
        found[np.asarray(rows[0], dtype=np.int64)] = True
    return found
