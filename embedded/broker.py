"""The embedded broker: noida-db, a small Kafka-compatible server, as a child process.

What it promises, as measured with noida-db 0.2.3:

* Everything acknowledged survives an orderly stop, and the death of this process in any way,
  kill -9 included: the broker then gets SIGTERM, and saves before it ends.
* Killing the *broker* with -9 loses what was acknowledged since its last save. It keeps data in
  memory and writes all of it as JSON (about 3.6 times the size) once a second while something
  changes, less often as that takes longer; and as that takes half a processor, it does so with
  what others leave. What it reads back is one consistent earlier moment:
  records, committed offsets and commit markers agree, and transactions open then are aborted.
  The store may then know more than the broker; `embedded.stack` notices and rebuilds it.
* A transactional producer that outlives its broker is told that its commit succeeded although
  the restarted broker has aborted it. So nothing may outlive its broker: a dead broker ends the
  stack, and is never restarted under running workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from embedded.children import end, log_tail, spawn
from embedded.ownership import InUseError, Ownership
from embedded.priority import put_last

HOST = "127.0.0.1"
START_S_MAX = 120.0  # Reading back a gigabyte of JSON takes most of it.
SAVE_S_MAX = 180.0
SAVING_THREAD = "autosave"
_POLL_S = 0.02

# Metadata for no topics: size, api 3, version 1, correlation 1, no client id, empty array.
_METADATA_REQUEST = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)


class BrokerError(Exception):
    """The broker cannot be started, or is no longer there; the message says why."""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_taken(port: int) -> bool:
    """Return whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker: `Broker.start` makes one, `stop` or leaving its context ends it."""

    port: int
    child: subprocess.Popen[bytes]
    owned: Ownership
    log_path: Path
    log_from: int

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        log_path: Path | None = None,
        port: int | None = None,
        niceness: int = 0,
        start_s_max: float = START_S_MAX,
    ) -> Broker:
        """Start the broker over a folder and return once it answers.

        Args:
            data_dir: Where it keeps its data; made where missing.
            log_path: Takes its output; `broker.log` beside the data where None.
            port: Port of 127.0.0.1; a free one where None.
            niceness: How far its priority is below this process's, as nice(1) has it.
            start_s_max: How long it, and the saving of a former broker, may take [s].

        Raises:
            BrokerError: The folder or port is in use, it ends, or it does not answer in time.
        """
        log = log_path or data_dir.parent / f"{data_dir.name}.log"
        if port is not None and port_is_taken(port):
            raise BrokerError(f"port {port} of {HOST} is taken, so the broker cannot listen on it")
        try:
            owned = Ownership.take(data_dir, what="a carbonflow broker")
        except InUseError as error:
            raise BrokerError(f"the broker's data folder {error}") from None
        try:
            await_former(data_dir, s_max=start_s_max)
            broker = cls._launch(data_dir, owned, log, port or free_port(), niceness)
        except BaseException:
            owned.release()
            raise
        try:
            broker._await_answer(deadline=time.monotonic() + start_s_max)
        except BaseException:
            broker.stop()
            raise
        put_last(broker.pid, thread=SAVING_THREAD)
        # What it says from here on is why it ended.
        return replace(broker, log_from=log.stat().st_size)

    @classmethod
    def _launch(
        cls, data_dir: Path, owned: Ownership, log: Path, port: int, niceness: int
    ) -> Broker:
        argv = [_binary(), "start", "--only", "kafka", "--kafka-port", str(port)]
        argv += ["--data-dir", str(data_dir)]
        log_from = log.stat().st_size if log.exists() else 0
        child = spawn(argv, log_path=log, death_signal=signal.SIGTERM, niceness=niceness)
        return cls(port, child, owned, log, log_from)

    @property
    def bootstrap(self) -> str:
        """Host and port, as Kafka clients want it."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the broker."""
        return self.child.pid

    def check(self) -> None:
        """Raise BrokerError when the broker has ended, with its status and last words."""
        status = self.child.poll()
        if status is not None:
            words = log_tail(self.log_path, since=self.log_from) or "it left no message"
            raise BrokerError(
                f"the broker ended with status {status}: {words} (log: {self.log_path})"
            )

    def stop(self) -> None:
        """Save everything and end; stopping twice is fine."""
        end(self.child, term_s=SAVE_S_MAX)
        self.owned.release()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_answer(self, *, deadline: float) -> None:
        pause = threading.Event()
        while not _answers(self.port):
            self.check()
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"the broker does not answer on {self.bootstrap} (log: {self.log_path})"
                )
            pause.wait(_POLL_S)


def _binary() -> str:
    try:
        path = Path(str(files("noida_db").joinpath("noida-db")))
    except ModuleNotFoundError:
        raise BrokerError(
            "the embedded broker is not installed; install carbonflow with its extra `embedded`"
        ) from None
    if not os.access(path, os.X_OK):
        path.chmod(0o755)  # Installers may drop the bit; noida-db's own launcher does the same.
    return str(path)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0) as link:
        link.sendall(_METADATA_REQUEST)
        head = link.recv(8)
        return len(head) == 8 and struct.unpack(">ii", head)[1] == 1
    return False


def await_former(data_dir: Path, *, s_max: float = SAVE_S_MAX) -> None:
    """Wait until a broker whose owner was killed has saved this folder and ended.

    Raises:
        BrokerError: It has not ended after `s_max` seconds.
    """
    deadline = time.monotonic() + s_max
    control = data_dir / "noida.control.json"
    pause = threading.Event()
    while (pid := _running_broker(control)) is not None:
        if time.monotonic() > deadline:
            raise BrokerError(f"the former broker of {data_dir}, process {pid}, does not end")
        pause.wait(_POLL_S)
    control.unlink(missing_ok=True)  # Its pid may belong to somebody else by now.


def _running_broker(control: Path) -> int | None:
    """Return the pid in a control file where it still is a broker; a zombie has no command line."""
    try:
        pid = int(json.loads(control.read_bytes())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if b"noida-db" in command.split(b"\0")[0] else None
