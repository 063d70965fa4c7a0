"""`carbonflow api-token` makes a token, and the lines that let it in."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.tokens import read_tokens
from embedded.broker import free_port
from sinks.connect import StoreSettings, connect
from sinks.migrate import migrate
from tests import clickhouse_server
from tests.end_to_end.command import call, environment
from tests.logs import why_failed

STOP_S_MAX = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ClickHouse with tables and nothing in them."""
    with clickhouse_server.start(tmp_path_factory.mktemp("store") / "data") as url:
        migrate(connect(StoreSettings(clickhouse_url=url)))
        yield url


def test_the_lines_let_the_token_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    made = [
        call("api-token", "driver 7's", "--account", "driver-7"),
        call("api-token", "auditor", "--programme", "cn-charging"),
        call("api-token", "on-call", "--operator"),
        call("api-token", "acme's", "--sender", "acme"),
    ]
    assert [done.returncode for done in made] == [0, 0, 0, 0]
    path.write_text("".join(done.stdout for done in made))
    tokens = read_tokens(path)
    found = [tokens.find(done.stderr.strip().encode()) for done in made]
    assert [(each.name, each.access.kind, each.access.subject) for each in found if each] == [
        ("driver 7's", "account", "driver-7"),
        ("auditor", "programme", "cn-charging"),
        ("on-call", "operator", ""),
        ("acme's", "send", "acme"),
    ]
    assert all(done.stderr.strip() not in path.read_text() for done in made)


def test_json_has_both() -> None:
    done = call("api-token", "on-call", "--operator", "--json")
    found = json.loads(done.stdout)
    assert (found["name"], found["scope"], done.stderr) == ("on-call", "operator", "")
    assert found["token"].startswith("cf_")
    assert found["entry"].startswith("[[tokens]]\n")


@pytest.mark.parametrize(
    "words",
    [("x",), ("x", "--operator", "--account", "y"), ("", "--operator"), ("x", "--account", "")],
)
def test_what_makes_no_token_is_wrong_use(words: tuple[str, ...]) -> None:
    done = call("api-token", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def api(store: str, **settings: str) -> subprocess.Popen[str]:
    """Start an API over a store without balances from Kafka."""
    environ = environment(
        CARBONFLOW_CLICKHOUSE_URL=store,
        CARBONFLOW_API_BALANCES="store",
        CARBONFLOW_API_PORT=str(free_port()),
        CARBONFLOW_API_METRICS_PORT="0",
        **settings,
    )
    return subprocess.Popen(
        (sys.executable, "-m", "cli.main", "api"),
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_beyond_this_machine_an_api_without_tokens_does_not_start(store: str) -> None:
    with api(store, CARBONFLOW_API_HOST="0.0.0.0") as process:
        said, why = process.communicate(timeout=STOP_S_MAX)
    assert (process.returncode, said, why.count("\n")) == (2, "", 1)
    assert "CARBONFLOW_API_TOKENS_FILE" in why
    assert "CARBONFLOW_API_OPEN=true" in why


def test_nor_does_one_whose_tokens_cannot_be_read(store: str, tmp_path: Path) -> None:
    with api(store, CARBONFLOW_API_TOKENS_FILE=str(tmp_path / "no.toml")) as process:
        said, why = process.communicate(timeout=STOP_S_MAX)
    assert (process.returncode, said) == (1, "")
    assert "CARBONFLOW_API_TOKENS_FILE" in why_failed(why)


def test_a_command_asks_with_its_token_and_nothing_shows_it(store: str, tmp_path: Path) -> None:
    made, path = call("api-token", "ann's", "--account", "ann"), tmp_path / "tokens.toml"
    path.write_text(made.stdout)
    token = made.stderr.strip()
    settings = {"CARBONFLOW_API_HOST": "0.0.0.0", "CARBONFLOW_API_TOKENS_FILE": str(path)}
    with api(store, CARBONFLOW_LOG_LEVEL="DEBUG", **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().replace("0.0.0.0", "127.0.0.1")
        assert process.stdout.readline().endswith("/metrics\n")
        asked = [
            subprocess.run(
                (sys.executable, "-m", "cli.main", "balance", "ann", "--api", url),
                env=environment(**given),
                capture_output=True,
                text=True,
                check=False,
                timeout=STOP_S_MAX,
            )
            for given in ({}, {"CARBONFLOW_API_TOKEN": "cf_x"}, {"CARBONFLOW_API_TOKEN": token})
        ]
        process.terminate()
        said, log = process.communicate(timeout=STOP_S_MAX)
    assert [done.returncode for done in asked] == [1, 1, 1]
    assert "A token is needed" in asked[0].stderr
    assert asked[1].stderr == asked[0].stderr
    assert asked[2].stderr == "carbonflow: There is no account 'ann'.\n"
    shown = said + log + "".join(done.stdout + done.stderr for done in asked)
    assert token not in shown
    assert path.read_text().split('sha256 = "')[1][:64] not in shown
