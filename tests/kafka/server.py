"""Real Apache Kafka nodes (KRaft, broker and controller in one) as child processes, for tests.

`fetch_jars` asks Maven once for what `pom.xml` pins and keeps it under the git-ignored `target/`;
from then on nothing is downloaded. `KafkaServer` formats a folder, starts the node on free ports of
127.0.0.1, returns when it answers, and stops it by its pid; it never outlives its test run. A
stopped node can be started again on the same folder and port, with its data. `KafkaCluster` is
several of them that replicate everything to each other.

With `Security` clients come in by TLS and SCRAM only, and nobody but the admin may do anything
until `tests.kafka.rights` allows it.

Needs Java 17 or newer, and Maven for the first time; `missing` says which of them is not there.
"""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from embedded.children import end, spawn
from schemas.settings import BrokerSettings
from tests.certificates import Certificates

HERE: Final = Path(__file__).resolve().parent
CLUSTER_ID: Final = (
    "Y2FyYm9uZmxvdy10ZXN0cw"  # 16 bytes in base64, as Kafka wants it: carbonflow-tests.
)
JAVA_VERSION_MIN: Final = 17
FETCH_S_MAX: Final = 240
FORMAT_S_MAX: Final = 60
START_S_MAX: Final = 90
STOP_S_MAX: Final = 30

# Serial GC and the first compiler only: a node that lives for seconds should start in seconds.
JVM: Final = ("-Xms256m", "-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

CONFIG: Final = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={protocol}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={protocol}://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocol}:{protocol},CONTROLLER:PLAINTEXT
inter.broker.listener.name={protocol}
log.dirs={folder}/data
num.partitions=4
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={replicas_min}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={replicas_min}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={replicas_min}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
broker.session.timeout.ms={session_ms}
log.cleaner.dedupe.buffer.size=16777216
"""


# The node is anonymous to itself on the controller's listener, which no client is told of.
SECURED: Final = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
allow.everyone.if.no.acl.found=false
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={login} required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login} required \\
    username="{admin}" password="{password}";
"""
LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class Security:
    """Who may come in, by name and password, the admin among them; and the node's certificates."""

    passwords: Mapping[str, str]
    certificates: Certificates


class KafkaNodeError(RuntimeError):
    """Maven, the formatting or the node itself failed; the message holds what it printed."""


def target() -> Path:
    """Return the folder of the jars for the present pom, whether it exists or not."""
    digest = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:12]
    return HERE / "target" / f"jars-{digest}"


def missing() -> str | None:
    """Return why no node can run here, or None if it can."""
    java = shutil.which("java")
    if java is None:
        return "Apache Kafka needs Java 17 or newer, and there is no java on the PATH"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_VERSION_MIN:
        return f"Apache Kafka needs Java 17 or newer, and java -version says {said.strip()!r}"
    if not target().is_dir() and shutil.which("mvn") is None:
        return "Apache Kafka's jars are fetched by Maven once, and there is no mvn on the PATH"
    return None


def fetch_jars() -> Path:
    """Return the folder with Kafka's jars, fetched by Maven unless they are already there.

    Raises:
        KafkaNodeError: Maven ended with an error.
    """
    jars = target()
    if jars.is_dir():
        return jars
    fresh = jars.with_name(f"{jars.name}.{os.getpid()}")
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_S_MAX)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise KafkaNodeError(f"mvn ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    try:
        fresh.rename(jars)  # At once, so that a half-filled folder never looks complete.
    except OSError:
        if not jars.is_dir():
            raise
        shutil.rmtree(fresh)  # Another test run was quicker.
    return jars


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


Ports = tuple[int, int]
"""Where a node listens: as broker and as controller."""


def free_nodes(count: int) -> list[Ports]:
    """Return ports for so many nodes."""
    ports = free_ports(2 * count)
    return list(zip(ports[::2], ports[1::2], strict=True))


class KafkaServer:
    """A node over one folder; `with KafkaServer(folder, fetch_jars()) as kafka:` runs it.

    Args:
        folder: Takes its data and its log.
        jars: What `fetch_jars` returned.
        security: Certificates and users; everybody may do everything where not given.
        nodes: Ports of all nodes of its cluster; a cluster of its own where not given.
        number: Which of them it is, from 1 on.
    """

    def __init__(
        self,
        folder: Path,
        jars: Path,
        security: Security | None = None,
        *,
        nodes: Sequence[Ports] = (),
        number: int = 1,
    ) -> None:
        self._folder = folder.resolve()
        self._jars = jars.resolve()
        self._security = security
        nodes = nodes or free_nodes(1)
        self._nodes = len(nodes)
        self._port, controller_port = nodes[number - 1]
        self._config = self._folder / "server.properties"
        self._log = self._folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.mkdir(parents=True, exist_ok=True)
        config = CONFIG.format(
            protocol="PLAINTEXT" if security is None else "SASL_SSL",
            number=number,
            voters=",".join(f"{n}@127.0.0.1:{each[1]}" for n, each in enumerate(nodes, 1)),
            port=self._port,
            controller_port=controller_port,
            folder=self._folder,
            replicas=len(nodes),
            replicas_min=len(nodes) // 2 + 1,
            # Nodes that share two cores are not always heard every second.
            session_ms=1000 if len(nodes) == 1 else 4000,
        )
        if security is not None:
            config += SECURED.format(
                admin=ADMIN,
                password=security.passwords[ADMIN],
                login=LOGIN,
                server=security.certificates.server,
                authority=security.certificates.authority,
            )
        self._config.write_text(config)
        self._format()

    @property
    def bootstrap(self) -> str:
        """Where clients connect, host:port."""
        return f"127.0.0.1:{self._port}"

    def settings(self, user: str = ADMIN, *, prefix: str = "") -> BrokerSettings:
        """Return how a user reaches the node, or everybody where it is not secured."""
        if self._security is None:
            return BrokerSettings(bootstrap=self.bootstrap, prefix=prefix)
        return BrokerSettings(
            bootstrap=self.bootstrap,
            prefix=prefix,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=self._security.passwords[user],
            ssl_cafile=self._security.certificates.authority,
        )

    def start(self) -> None:
        """Start the node and return when it answers, and knows all nodes of its cluster.

        Raises:
            KafkaNodeError: It ended, or did not answer in time; with the end of its log.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the node; it answers only when most of its cluster runs."""
        assert self._process is None, "the node is running"
        self._process = spawn(
            self._java("kafka.Kafka", str(self._config)),
            log_path=self._log,
            death_signal=signal.SIGKILL,
        )

    def wait(self) -> None:
        """Return when a launched node answers; raises as `start` does."""
        try:
            asyncio.run(self._answers())
        except BaseException:
            self.kill()
            raise

    def stop(self, term_s: float = STOP_S_MAX) -> None:
        """Stop the node in order, or kill it after a while; its data stays."""
        if self._process is None:
            return
        end(self._process, term_s=term_s)
        self._process = None

    def kill(self) -> None:
        """Stop the node at once, as kill -9 does; its data stays."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(STOP_S_MAX)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _java(self, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        java = shutil.which("java")
        assert java is not None, "missing() was not asked"
        return [java, *JVM, logging, "-cp", f"{self._jars}/*", *arguments]

    def _format(self) -> None:
        arguments = ["format", "--cluster-id", CLUSTER_ID, "--config", str(self._config)]
        passwords = self._security.passwords if self._security is not None else {}
        for user, password in passwords.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments, "--ignore-formatted"),
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_S_MAX,
        )
        if done.returncode != 0:
            raise KafkaNodeError(
                f"formatting ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )

    async def _answers(self) -> None:
        try:
            async with asyncio.timeout(START_S_MAX):
                while not await self._answers_now():  # noqa: ASYNC110 - another process has no event.
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise KafkaNodeError(f"no answer after {START_S_MAX} s:\n{self._log_end()}") from None

    async def _answers_now(self) -> bool:
        process = self._process
        assert process is not None
        if process.poll() is not None:
            raise KafkaNodeError(f"the node ended with {process.returncode}:\n{self._log_end()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        admin = AIOKafkaAdminClient(**self.settings().client_options())
        try:
            await admin.start()
            return len((await admin.describe_cluster())["brokers"]) == self._nodes
        except (KafkaConnectionError, KafkaError):
            return False
        finally:
            await admin.close()

    def _log_end(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])


class KafkaCluster:
    """Nodes that keep every record and decide together; a context manager as one node is.

    With three of them records are kept three times, and taken when two nodes have them: any one may
    die.
    """

    def __init__(self, folder: Path, jars: Path, *, brokers: int) -> None:
        nodes = free_nodes(brokers)
        self.servers = [
            KafkaServer(folder / f"kafka-{number}", jars, nodes=nodes, number=number)
            for number in range(1, brokers + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Where clients connect: every node."""
        return ",".join(server.bootstrap for server in self.servers)

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.launch()
            for server in self.servers:
                server.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Stop all nodes at once: nobody needs their data any more."""
        for server in self.servers:
            server.kill()
