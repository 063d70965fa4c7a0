"""The services of docker-compose.yml as they run there: another user, no capabilities, and a root
file system that is read-only but for the tmpfs that the file gives them.

There is no Docker here. A mount namespace gives the same: each service has one of its own, made by
`read_only.sh`, and gets command, variables and tmpfs from the file itself. Broker and store stand
outside. If anything else were written to, a session would not go from the topic to the API.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
import yaml

from api.gateway.columns import LINES_LEAST
from producers.client.asynchronous import AsyncClient
from producers.client.records import ChargingSession
from producers.client.settings import ClientSettings
from schemas.settings import BrokerSettings
from streams.warm import SESSION
from tests import clickhouse_server

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[2]
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text()
)["services"]
DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text()
SCRIPT: Final = Path(__file__).with_name("read_only.sh")
UNSHARE: Final = ("unshare", "--mount", "--propagation", "private", "--")
READY_S_MAX: Final = 180.0
LINES: Final = 2 * LINES_LEAST
"""Read as columns, by the kernels."""


def can_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [
    pytest.mark.skipif(not can_unshare(), reason="only root of a Linux can make a mount namespace"),
    pytest.mark.timeout(900),  # Six services start, and the kernels are compiled for them.
]


def user() -> str:
    found = re.search(r"(?m)^USER (\d+):\1$", DOCKERFILE)
    assert found, "the image names its user and group by number"
    return found[1]


def image_variable(name: str) -> str:
    found = re.search(rf"(?m)^ENV (?:.* )?{name}=(\S+)", DOCKERFILE)
    assert found, name
    return found[1]


def free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def awaited(what: str, look: Callable[[], T | None], alive: Callable[[], None]) -> T:
    """Return what `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        alive()
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {READY_S_MAX:g} s")


@dataclass(frozen=True)
class Containers:
    """What a service needs to run as in its container."""

    folder: Path
    environ: Mapping[str, str]
    kernels: Path

    def command(self, service: str, *words: str) -> list[str]:
        """Return a command that runs words in the container of a service."""
        root = self.folder / f"{service}-{uuid4().hex[:8]}"
        root.mkdir()
        folders = " ".join(SERVICES[service]["tmpfs"])
        inside = [*UNSHARE, str(SCRIPT), str(root), str(ROOT), sys.base_prefix, user(), folders]
        given = {**SERVICES[service].get("environment", {}), **self.environ}
        given.pop("CARBONFLOW_SCHEMA_REGISTRY_URL", None)  # None stands outside; the ids are known.
        variables = {
            **{name: value for name, value in given.items() if "${" not in value},
            "NUMBA_CACHE_DIR": image_variable("NUMBA_CACHE_DIR"),
            "SHIPPED_KERNELS": str(self.kernels),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        return [*inside, "env", "-i", *(f"{n}={v}" for n, v in variables.items()), *words]

    def start(self, service: str, **changes: str) -> list[str]:
        """Return the command of a service, with the entry point of the image."""
        changed = Containers(self.folder, {**self.environ, **changes}, self.kernels)
        words = SERVICES[service]["command"]
        return changed.command(service, str(ROOT / "deploy" / "start.sh"), *words)


@pytest.fixture(scope="module")
def kernels() -> Iterator[Path]:
    """The kernels of the image, compiled as the Dockerfile does it."""
    folder = ROOT / "build" / f"kernels-{uuid4().hex[:8]}"
    subprocess.run(
        [sys.executable, "-m", "streams.warm"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        cwd=ROOT,
        check=True,
    )
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.fixture(scope="module")
def containers(
    broker: str, kernels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    """Broker and store outside, and what the services are told about them."""
    folder = tmp_path_factory.mktemp("containers")
    with clickhouse_server.start(folder / "clickhouse") as url:
        environ = {
            "CARBONFLOW_BOOTSTRAP": broker,
            "CARBONFLOW_PREFIX": f"container-{uuid4().hex[:8]}.",
            "CARBONFLOW_CLICKHOUSE_URL": url,
        }
        yield Containers(folder, environ, kernels)


@contextmanager
def running(
    containers: Containers, service: str, **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a service; at the end it is asked to stop, and has to."""
    log = containers.folder / f"{service}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            containers.start(service, **changes), stdout=out, stderr=out, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
    assert process.returncode in (0, 143), log.read_text()[-2_000:]


@pytest.fixture(scope="module")
def prepared(containers: Containers) -> Containers:
    """Topics, tables and factors, made by the services that make them."""
    for service in ("topics", "migrate", "factors"):
        done = subprocess.run(
            containers.start(service), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{service}: {done.stderr[-2_000:]}"
    return containers


def test_a_session_goes_all_the_way_through_read_only_services(prepared: Containers) -> None:
    probed = {service: free_port() for service in ("worker-0", "sink", "api", "gateway")}
    api_port, gateway_port = free_port(), free_port()
    with ExitStack() as stack:
        services = {
            "worker-0": running(prepared, "worker-0", CARBONFLOW_METRICS_PORT=probed["worker-0"]),
            "sink": running(prepared, "sink", CARBONFLOW_METRICS_PORT=probed["sink"]),
            "api": running(
                prepared,
                "api",
                CARBONFLOW_API_PORT=api_port,
                CARBONFLOW_API_METRICS_PORT=probed["api"],
            ),
            "gateway": running(
                prepared,
                "gateway",
                CARBONFLOW_GATEWAY_PORT=gateway_port,
                CARBONFLOW_GATEWAY_METRICS_PORT=probed["gateway"],
                CARBONFLOW_GATEWAY_SENDERS_FILE=str(ROOT / "deploy/gateway/senders.toml"),
            ),
        }
        processes = {name: stack.enter_context(each) for name, each in services.items()}

        def alive() -> None:
            for name, process in processes.items():
                log = prepared.folder / f"{name}.log"
                assert process.poll() is None, f"{name} ended: {log.read_text()[-2_000:]}"

        asyncio.run(send(prepared))
        account = f"http://127.0.0.1:{api_port}/v1/accounts/{SESSION['account_id']}"

        def balance() -> Any:
            found = asked(f"{account}/balance")
            return found if found and found["session_count"] else None

        def statement() -> Any:
            found = asked(f"{account}/statement")
            return found["transfers"] if found and found["transfers"] else None

        assert awaited("balance", balance, alive)["energy_wh"] == SESSION["energy_wh"]
        assert len(awaited("statement", statement, alive)) == 2

        def gated() -> Any:
            return posted(f"http://127.0.0.1:{gateway_port}/v1/charging-sessions")

        assert awaited("gateway", gated, alive)["accepted"] == LINES
        for service, port in probed.items():
            check = [word.replace("9101", port) for word in healthcheck(service)]
            awaited(service, lambda check=check: well(check), alive)  # type: ignore[misc]
        for process in processes.values():
            assert kept(process, prepared.kernels) == {"stored", "used"}


def healthcheck(service: str) -> list[str]:
    """Return the command that says whether a service is well."""
    test: list[str] = SERVICES[service]["healthcheck"]["test"]
    assert test[0] == "CMD"
    return test[1:]


def well(check: list[str]) -> bool | None:
    """Return whether a service is, None while it is not."""
    own = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(check, env={"PATH": own}, capture_output=True, check=False, timeout=60)
    return True if done.returncode == 0 else None


async def send(containers: Containers) -> None:
    settings = BrokerSettings(
        bootstrap=containers.environ["CARBONFLOW_BOOTSTRAP"],
        prefix=containers.environ["CARBONFLOW_PREFIX"],
    )
    async with AsyncClient(ClientSettings(broker=settings)) as client:
        await (await client.send(ChargingSession(**SESSION)))  # type: ignore[arg-type]


def posted(url: str) -> Any:
    """Return the answer to lines of sessions, None while there is none."""
    own = {**SESSION, "source": "demo"}
    sessions = [{**own, "session_id": f"{number}"} for number in range(LINES)]
    lines = "\n".join(map(json.dumps, sessions)).encode()
    return asked(Request(url, lines, {"Content-Type": "application/x-ndjson"}))


def asked(url: str | Request) -> Any:
    """Return an answer, None while there is none."""
    try:
        with urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            if error.code not in (404, 503):
                raise
    except URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            raise
    return None


def kept(process: subprocess.Popen[str], kernels: Path) -> set[str]:
    """Return whether a service has the shipped kernels, and whether it had to compile none."""
    inside = Path(f"/proc/{process.pid}/root{image_variable('NUMBA_CACHE_DIR')}")
    shipped = {path.relative_to(kernels) for path in kernels.rglob("*.nbc")}
    found = {path.relative_to(inside) for path in inside.rglob("*.nbc")}
    assert shipped
    return {*(["stored"] if shipped <= found else []), *(["used"] if found <= shipped else [])}


@pytest.mark.parametrize("service", ["worker-0", "sink", "api", "gateway"])
@pytest.mark.parametrize(
    ("path", "writable"),
    [
        ("/tmp/x", True),
        ("/var/lib/carbonflow/x", True),
        ("/var/tmp/x", False),  # Where else anybody may write.
        ("/etc/x", False),
        (str(ROOT / "x"), False),
    ],
)
def test_only_the_tmpfs_of_the_file_can_be_written(
    containers: Containers, service: str, path: str, writable: bool
) -> None:
    done = subprocess.run(
        containers.command(service, "touch", path), capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == writable
    if not writable:
        assert "Read-only file system" in done.stderr
    assert not Path(path).exists()


def test_a_service_is_nobody_and_can_become_nobody_else(containers: Containers) -> None:
    done = subprocess.run(
        containers.command("worker-0", "cat", "/proc/self/status"),
        capture_output=True,
        text=True,
        check=True,
    )
    status = dict(re.findall(r"(?m)^(\w+):\s*(.*)$", done.stdout))
    assert status["Uid"].split() == [user()] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert status["NoNewPrivs"] == "1"
