"""A real Prometheus for tests: Debian's package, unpacked beside the virtual environment.

`install` asks apt for the package once and unpacks it under the git-ignored `.venv/`; nothing of
the machine is changed, and no service starts. `PrometheusServer` runs it on a free port of
127.0.0.1 over a folder of its own, answers questions, and stops it by its pid. `promtool` runs the
checker that comes with it.

Where apt is missing a test skips and says why; under CI=true that is a failure.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from embedded.broker import HOST, free_port
from embedded.children import end, log_tail, spawn
from tests.debian import unpacked

INSTALLED: Final = Path(sys.prefix) / "prometheus"
START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 15.0
WAIT_S_MAX: Final = 60.0
_LOOK_S: Final = 0.05


class PrometheusError(RuntimeError):
    """The server does not start or answer; the message says why."""


def install() -> Path:
    """Return the folder with `prometheus` and `promtool`, fetched unless they are there.

    Raises:
        DebianError: apt or dpkg ended with an error; the message has what they printed.
    """
    return unpacked(["prometheus"], INSTALLED, "usr/bin/promtool") / "usr/bin"


def promtool(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `promtool` to its end, whatever it is."""
    return subprocess.run(
        [install() / "promtool", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S_MAX,
    )


class PrometheusServer:
    """A server; `with PrometheusServer(folder, config_path) as prometheus:` runs it.

    Args:
        folder: Takes its data and its log.
        config: Its configuration file; files that this names are sought beside it.
    """

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder.resolve()
        self._config = config.resolve()
        self._child: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """What it says."""
        return self._folder / "prometheus.log"

    def __enter__(self) -> Self:
        """Start it, and return when it is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._child = spawn(
            [
                str(install() / "prometheus"),
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={HOST}:{self.port}",
            ],
            log_path=self.log_path,
            death_signal=signal.SIGTERM,
        )
        try:
            self.until(self._is_ready, "it is ready", s_max=START_S_MAX)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """End it; twice is fine."""
        if self._child is not None:
            end(self._child, term_s=STOP_S_MAX)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now: a list of `metric` (labels) and `value`.

        Raises:
            PrometheusError: It is no expression; the message has what is wrong with it.
        """
        found = self.ask("query", {"query": expression})
        result = found["result"]
        if found["resultType"] in {"scalar", "string"}:
            return [{"metric": {}, "value": result}]
        return list(result)

    def value(self, expression: str) -> float | None:
        """Return the one number of an expression, None where it has none.

        Raises:
            PrometheusError: It is no expression, or has several.
        """
        found = self.query(expression)
        if len(found) > 1:
            raise PrometheusError(f"{expression} has {len(found)} values: {found}")
        return float(found[0]["value"][1]) if found else None

    def range(
        self, expression: str, *, start_s: float, end_s: float, step_s: float
    ) -> list[dict[str, Any]]:
        """Return what an expression was: a list of `metric` (labels) and `values`.

        Raises:
            PrometheusError: It is no expression; the message has what is wrong with it.
        """
        asked = {"query": expression, "start": start_s, "end": end_s, "step": step_s}
        return list(self.ask("query_range", asked)["result"])

    def targets(self) -> dict[tuple[str, str], str]:
        """Return the health of all targets by job and instance: `up`, `down` or `unknown`."""
        active = self.ask("targets")["activeTargets"]
        return {
            (each["labels"]["job"], each["labels"]["instance"]): str(each["health"])
            for each in active
        }

    def alerts(self, state: str = "firing") -> list[dict[str, Any]]:
        """Return the alerts in a state, `firing` or `pending`: their `labels` and `annotations`."""
        return [each for each in self.ask("alerts")["alerts"] if each["state"] == state]

    def ask(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the `data` of an answer of its HTTP API, `/api/v1/<path>`.

        Raises:
            PrometheusError: It says no; the message has its words.
        """
        asked = f"?{urlencode(parameters)}" if parameters else ""
        try:
            with urlopen(f"{self.url}/api/v1/{path}{asked}", timeout=10) as answer:
                return json.loads(answer.read())["data"]
        except HTTPError as error:
            raise PrometheusError(f"{path} {parameters}: {error.read().decode()}") from error

    def until(self, happened: Callable[[], bool], what: str, *, s_max: float = WAIT_S_MAX) -> None:
        """Wait for something.

        Raises:
            PrometheusError: It has not happened within `s_max`, or the server has ended.
        """
        if self._child is None:
            raise PrometheusError("it is not started")
        deadline, pause = time.monotonic() + s_max, threading.Event()
        while not happened():
            if self._child.poll() is not None or time.monotonic() > deadline:
                words = log_tail(self.log_path, lines=20)
                raise PrometheusError(f"within {s_max:.0f} s not: {what}\n{words}")
            pause.wait(_LOOK_S)

    def scraped_again(self) -> None:
        """Wait until every target has been scraped after now, and has answered.

        Raises:
            PrometheusError: One has not within a minute, or the server has ended.
        """
        now_s = time.time()

        def answered() -> bool:
            # A scrape that failed has a time too, and leaves no samples.
            found = self.query(f"(up == 1) and (timestamp(up) > {now_s})")
            return 0 < len(found) == len(self.targets())  # Of none it knows in its first moment.

        self.until(answered, "every target is scraped once more")

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except (URLError, ConnectionError):
            return False


def write_config(
    path: Path, targets: Mapping[str, Sequence[str]], *, interval_s: float = 1
) -> Path:
    """Write a configuration that scrapes and evaluates so often, without rules; return its path.

    Args:
        path: Where.
        targets: `host:port` of the targets, by the name of their job.
        interval_s: How far apart scrapes and evaluations are [s].
    """
    every = f"{round(interval_s * 1000)}ms"
    config = {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": every,
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(where)}]}
            for job, where in targets.items()
        ],
    }
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML.
    return path
