"""Three users with what they need: the engine itself holds them to the grants of the shipped file.

`deploy/clickhouse/users.sql` is read as it is (`tests.clickhouse_access`), and each part runs its
real statements over TLS as its own user. Beside each user stand others that lack one of its grants:
with any of these some statement is refused, so no grant of the file is there for nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from chdb.state.sqlitelike import Connection

from sinks.booked import booked_already
from sinks.connect import Client, StoreError, StoreSettings, connect, is_away, reason
from sinks.migrate import migrate, statements
from sinks.queries import FactorFilter, Queries, RefusalFilter
from sinks.stored import stored_activities
from sinks.verify import verify
from sinks.writer import ROUTES, Rows, Writer
from tests import clickhouse_server
from tests.certificates import Certificates, make_certificates
from tests.clickhouse_access import USERS_SQL, granted
from tests.clickhouse_server import User
from tests.sinks.facts import balance, columns_of, factor, refusal, session, transfer, trip

MIGRATOR: Final = "carbonflow_migrator"
WRITER: Final = "carbonflow_writer"
READER: Final = "carbonflow_reader"
ADMIN: Final = "admin"
SECRET: Final = "wo/rt:ge@heim"

GRANTS: Final = granted(USERS_SQL.read_text("utf-8"))
ACCESS_DENIED: Final = 497
# What chDB does not ask for, and a server only where it is told to (`table_engines_require_grant`).
NOT_ASKED_HERE: Final = frozenset(
    f"GRANT TABLE ENGINE ON {engine}"
    for engine in ("ReplacingMergeTree", "ReplicatedReplacingMergeTree")
)


def lacking(user: str) -> dict[str, str]:
    """Return the names of users that lack one grant of a user, and the grant."""
    return {
        f"{user}_without_{number}": grant
        for number, grant in enumerate(GRANTS[user])
        if grant not in NOT_ASKED_HERE
    }


def users() -> dict[str, User]:
    """Return the users of the file, those that lack a grant, and one that may do everything."""
    made = {name: User(SECRET, grants) for name, grants in GRANTS.items()}
    for user, grants in GRANTS.items():
        for name, without in lacking(user).items():
            made[name] = User(SECRET, [grant for grant in grants if grant != without])
    return made | {ADMIN: User(SECRET, ["GRANT ALL ON *.*"])}


@dataclass(frozen=True)
class Server:
    """A server that knows these users."""

    url: str
    certificates: Certificates

    def settings(self, user: str) -> StoreSettings:
        """Return how a user reaches it."""
        return StoreSettings(
            clickhouse_url=self.url,
            clickhouse_user=user,
            clickhouse_password=SECRET,
            clickhouse_cafile=self.certificates.authority,
        )

    def client(self, user: str) -> Client:
        """Return a user's client."""
        return connect(self.settings(user))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server that knows these users."""
    certificates = make_certificates(folder)
    with clickhouse_server.start(
        folder / "data", users=users(), certificate=certificates.server
    ) as url:
        yield Server(url, certificates)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with rows in every table, put there by the users whose work it is."""
    with serving(tmp_path_factory.mktemp("filled")) as server:
        with server.client(MIGRATOR) as migrator:
            migrate(migrator)
        with server.client(WRITER) as writer:
            write(writer)
        yield server


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which only migrators work."""
    with serving(tmp_path_factory.mktemp("bare")) as server:
        yield server


@pytest.fixture
def fresh(bare: Server) -> Server:
    """A server without the database."""
    with bare.client(ADMIN) as admin:
        admin.command("DROP DATABASE IF EXISTS carbonflow SYNC")
    return bare


def rows() -> dict[str, Rows]:
    """Return rows of every topic, which hold together."""
    happened = [session(0), session(1), trip(2)]
    booked = [transfer(activity, "emission", 5_000) for activity in happened]
    accounts = [
        balance([row for row in booked if row["account_id"] == account])
        for account in ("ann", "fleet")
    ]
    tables = {
        "charging-sessions": happened[:2],
        "freight-trips": happened[2:],
        "transfers": booked,
        "account-balances": accounts,
        "refusals": [refusal(7)],
        "emission-factors": [factor(0), factor(1)],
    }
    return {topic: Rows(topic, columns_of(table), {}) for topic, table in tables.items()}


def write(client: Client) -> None:
    """Do what the sink asks of the store."""
    writer = Writer(client)
    stored = rows()
    for topic in ROUTES:
        writer.write(stored[topic])


def read(client: Client) -> None:
    """Ask what API, questions, verify, restating and an asking worker do; look at the answers."""
    queries = Queries(client)
    assert queries.ping()
    assert [queries.balance(account) is None for account in ("ann", "nobody")] == [False, True]
    assert len(queries.top_accounts()) == 2
    charged, driven = (queries.statement(account).items[0] for account in ("ann", "fleet"))
    assert queries.transfer(charged.transfer_id) == charged
    session, trip = queries.activity(charged), queries.activity(driven)
    assert session is not None
    assert trip is not None
    assert queries.factors_behind(charged, session) == ()
    ids = pa.array([charged.transfer_id, "charging:nobody:0:0:emission:0"])
    assert booked_already(client, pa.array(["ann", "ann"]), ids).tolist() == [True, False]
    assert len(queries.factors(FactorFilter(kind="grid_hourly")).items) == 2
    assert queries.factor("r1", factor(0)["factor_id"]) is not None
    assert len(queries.refusals(RefusalFilter()).items) == 1
    assert queries.refusal("0-7") is not None
    assert queries.refusals_by_code() == {"undecodable": 1}
    assert len(queries.totals()) == 2
    assert queries.factor_match() == {"exact": 2, "parent_region": 1}
    assert queries.counts().activities == 3
    worked = {("charging-sessions", 0): 8, ("freight-trips", 0): 3}
    assert verify(client, worked).drift == ()
    for record, count in (("charging_session", 2), ("freight_trip", 1)):
        assert sum(batch.num_rows for batch in stored_activities(client, record)) == count


def refused(work: Callable[[], object]) -> str:
    """Return what the store says when it refuses somebody's work for want of a right."""
    with pytest.raises(StoreError) as caught:
        work()
    assert caught.value.code == ACCESS_DENIED, caught.value
    return reason(caught.value)


def test_each_part_does_its_work_as_its_own_user(filled: Server) -> None:
    with filled.client(READER) as reader:
        read(reader)
    with filled.client(MIGRATOR) as migrator:
        assert migrate(migrator) == ()


@pytest.mark.parametrize("name", lacking(MIGRATOR))
def test_the_migrator_needs_each_of_its_grants(name: str, fresh: Server) -> None:
    with fresh.client(name) as client:
        assert "Not enough privileges" in refused(lambda: migrate(client))


@pytest.mark.parametrize("name", lacking(WRITER))
def test_the_writer_needs_each_of_its_grants(name: str, filled: Server) -> None:
    with filled.client(name) as client:
        assert "Not enough privileges" in refused(lambda: write(client))


@pytest.mark.parametrize("name", lacking(READER))
def test_the_reader_needs_each_of_its_grants(name: str, filled: Server) -> None:
    with filled.client(name) as client:
        assert "Not enough privileges" in refused(lambda: read(client))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count() FROM carbonflow.transfers",
        "SELECT count() FROM carbonflow.ledger",
        "ALTER TABLE carbonflow.transfers DELETE WHERE true",
        "TRUNCATE TABLE carbonflow.transfers",
        "DROP TABLE carbonflow.transfers",
        "INSERT INTO carbonflow.migrations (version) SELECT 9",
        "CREATE TABLE carbonflow.mine (x Int8) ENGINE = ReplacingMergeTree ORDER BY x",
        "SELECT * FROM system.users",
        "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'x String')",
    ],
)
def test_a_writer_can_only_add_rows(statement: str, filled: Server) -> None:
    with filled.client(WRITER) as writer:
        refused(lambda: writer.command(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO carbonflow.refusals (code) SELECT 'x'",
        "ALTER TABLE carbonflow.transfers DELETE WHERE true",
        "DROP VIEW carbonflow.ledger",
        "CREATE DATABASE elsewhere",
        "SELECT * FROM system.users",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    ],
)
def test_a_reader_can_only_read(statement: str, filled: Server) -> None:
    with filled.client(READER) as reader:
        refused(lambda: reader.command(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE carbonflow.transfers",
        "DROP DATABASE carbonflow",
        "ALTER TABLE carbonflow.transfers DELETE WHERE true",
        "INSERT INTO carbonflow.transfers (transfer_id) SELECT 'x'",
        "CREATE DATABASE elsewhere",
        "GRANT SELECT ON carbonflow.transfers TO carbonflow_writer",
    ],
)
def test_a_migrator_cannot_touch_what_is_booked(statement: str, filled: Server) -> None:
    with filled.client(MIGRATOR) as migrator:
        refused(lambda: migrator.command(statement))


@pytest.mark.parametrize("wrong", ["nobody", "password"])
def test_whom_the_server_does_not_know_is_told_so(wrong: str, filled: Server) -> None:
    settings = filled.settings("nobody" if wrong == "nobody" else READER)
    if wrong == "password":
        settings = replace(settings, clickhouse_password="anoth/er")
    with pytest.raises(StoreError) as caught:
        connect(settings)
    told = reason(caught.value)
    assert "Authentication failed" in told
    assert SECRET not in f"{caught.value!r} {told}"
    assert "anoth/er" not in f"{caught.value!r} {told}"


def test_a_certificate_of_an_unknown_authority_is_refused(filled: Server, tmp_path: Path) -> None:
    other = make_certificates(tmp_path).authority
    with pytest.raises(StoreError) as caught:
        connect(replace(filled.settings(READER), clickhouse_cafile=other))
    assert is_away(caught.value)
    assert "certificate is not trusted (CARBONFLOW_CLICKHOUSE_CAFILE)" in reason(caught.value)


def test_the_systems_authorities_do_not_know_a_certificate_of_ours(filled: Server) -> None:
    with pytest.raises(StoreError) as caught:
        connect(replace(filled.settings(READER), clickhouse_cafile=None))
    assert "certificate is not trusted" in reason(caught.value)


def test_a_certificate_of_another_host_is_refused(filled: Server) -> None:
    url = filled.url.replace("127.0.0.1", "localhost")
    with pytest.raises(StoreError) as caught:
        connect(replace(filled.settings(READER), clickhouse_url=url))
    assert "certificate is not trusted" in reason(caught.value)


@pytest.mark.parametrize("statement", statements(USERS_SQL.read_text("utf-8")))
def test_every_statement_of_the_file_is_one_of_clickhouse(statement: str) -> None:
    with closing(Connection(":memory:")) as engine:
        shown = engine.query(
            "SELECT formatQuerySingleLine({sql:String})",
            "TabSeparatedRaw",
            params={"sql": statement},
        )
        assert shown.bytes().decode().strip() == statement
