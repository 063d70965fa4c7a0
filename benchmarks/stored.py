"""Stored sessions for `benchmarks.restate`: three years of charging, written by the store itself.

The columns look like those of `benchmarks.generate`: accounts, classes and regions of a Chinese
programme, and a fifth of the sessions under the rules of VM0038 in the United States, whose DC
sessions gross up the grid. One session in a thousand is broken in one of four ways. Everything
follows from a session's number, so that the same count gives the same sessions.
"""

import time
from threading import Event
from typing import Final

from benchmarks.generate import CLASSES, REGIONS
from benchmarks.measure import BenchmarkError
from sinks.connect import Client
from sinks.migrate import migrate

DATABASE: Final = "carbonflow"
PARTITIONS: Final = 4
FIRST_MS: Final = 1_672_531_200_000  # 2023-01-01, from when on the shipped factors cover both
SPAN_MS: Final = 3 * 365 * 86_400_000
REST_S_MAX: Final = 120.0
LOOK_S: Final = 0.5

US_CLASSES: Final = ("car", "bus", "truck")

FILL: Final = """
INSERT INTO {database}.charging_sessions
SELECT
    concat('S', leftPad(toString(number), 9, '0')),
    'bench',
    concat('acct-', leftPad(toString(a % 50000), 6, '0')),
    multiIf(flaw = 0, 'nowhere', us, 'us-fleet', 'cn-charging'),
    multiIf(
        flaw = 1, 'ship',
        us, {us_classes}[b % {n_us_classes} + 1],
        {classes}[arrayFirstIndex(least -> c % 100 < least, [70, 85, 90, 97, 100])]
    ),
    multiIf(flaw = 2, 'Atlantis', us, 'US', {regions}[a % {n_regions} + 1]),
    fromUnixTimestamp64Milli(ended - toInt64(15 + b % 465) * 60000, 'UTC'),
    fromUnixTimestamp64Milli(ended, 'UTC'),
    if(flaw = 3, -1, toInt64(1000 + c % 79000)),
    if(d % 4 = 0, 'grid', 'dispenser'),
    if(c % 100 < 75, 'ac', 'dc'),
    concat('op-', toString(d % 40)),
    concat('CN*', toString(d % 40), '*E', toString(d % 4000)),
    NULL,
    0,
    NULL,
    toInt32(number % {partitions}),
    toInt64(intDiv(number, {partitions})),
    fromUnixTimestamp64Milli(recorded, 'UTC')
FROM
(
    SELECT
        number,
        sipHash64(number, 'a') AS a,
        sipHash64(number, 'b') AS b,
        sipHash64(number, 'c') AS c,
        sipHash64(number, 'd') AS d,
        a % 5 = 0 AS us,
        d % 4000 AS flaw,
        toInt64({first_ms} + intDiv(number * {span_ms}, {sessions})) AS recorded,
        recorded + 86400000 - toInt64(b % 86400000) AS ended
    FROM numbers({sessions})
)
SETTINGS max_block_size = 65536, max_partitions_per_insert_block = 100
"""


def fill(client: Client, sessions: int) -> None:
    """Make the tables, store sessions, and wait until the store has nothing left to merge.

    Raises:
        BenchmarkError: It merges for too long, and would do so while it is measured.
    """
    migrate(client, database=DATABASE)
    client.command(
        FILL.format(
            database=DATABASE,
            classes=list(CLASSES),
            us_classes=list(US_CLASSES),
            n_us_classes=len(US_CLASSES),
            regions=list(REGIONS),
            n_regions=len(REGIONS),
            partitions=PARTITIONS,
            first_ms=FIRST_MS,
            span_ms=SPAN_MS,
            sessions=sessions,
        )
    )
    deadline = time.monotonic() + REST_S_MAX
    while _count(client, "merges", "true"):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the store still merges after {REST_S_MAX:.0f} s")
        Event().wait(LOOK_S)


def parts(client: Client) -> int:
    """Return in how many parts the sessions lie."""
    return _count(client, "parts", "active AND table = 'charging_sessions'")


def _count(client: Client, table: str, where: str) -> int:
    sql = f"SELECT count() FROM system.{table} WHERE database = '{DATABASE}' AND {where}"
    return int(client.query(sql).result_rows[0][0])
