"""Clusters of one to three real nodes on loopback, each with its own data and ports, which tests may break.

A node is a process; it is killed, paused and ended by its pid. Nothing here needs the driver, so that a test decides
itself when that is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SkipTest

ROOT = Path(__file__).parent.parent.parent.parent
SETUP = ROOT / "etc" / "cassandra" / "setup.sh"
#: The servers below ``bin/``, by the names of their folders.
CQL, THRIFT = "cassandra", "cassandra-3.11"
#: More options of the JVM of every node: none lives for long enough to earn back what the second compiler costs.
JVM = ("-XX:TieredStopAtLevel=1",)
#: Seconds that a node may take to serve, with others doing the same and tests running beside it.
LIMIT = 180.0
#: Seconds that a node may take to stop when it is asked to.
STOP_LIMIT = 60.0
#: Of CQL's native protocol, version 4: the request OPTIONS on stream 0, and how its answer SUPPORTED begins.
OPTIONS = b"\x04\x00\x00\x00\x05\x00\x00\x00\x00"
SUPPORTED = b"\x84\x00\x00\x00\x06"


class NoCassandra(Exception):
    """A server that was to run is not set up, or does not start."""


def why_not() -> str:
    """Why this machine cannot have a Cassandra; nothing where it can."""
    return subprocess.run(["sh", SETUP, "why-not"], capture_output=True, text=True, check=True).stdout.strip()


def needs(server: str = CQL) -> None:
    """Let a test go on where this server is set up.

    :raise SkipTest: where the machine lacks what it needs.
    :raise NoCassandra: if the machine has what the server needs, and the server is not set up.
    """
    if (ROOT / "bin" / server / "lib").is_dir():
        return
    reason = why_not()
    if reason:
        raise SkipTest(reason)
    raise NoCassandra(f"This machine can have it, and it is not there: make {server}")


def changed(text: str, settings: Mapping[str, Any]) -> str:
    """A cassandra.yaml with other settings of the top level, each with all that stands below it.

    :param settings: what JSON can say, which is YAML too; ``None`` takes a setting away.
    """
    for key, value in settings.items():
        text = re.sub(rf"(?m)^{key}:.*\n(?:[ -].*\n)*", "", text)
        if value is not None:
            text += f"{key}: {json.dumps(value)}\n"
    return text


def without_jmx(options: str) -> str:
    """The options of a JVM, less its port for nodetool, which would be the same for all."""
    return re.sub(r"(?m)^-Dcassandra\.jmx\..*\n", "", options)


def token(node: int, nodes: int) -> int:
    """The share of the ring of one of several nodes, counted from 0."""
    return -(2**63) + node * 2**64 // nodes


def free_ports(addresses: Sequence[str], count: int) -> list[int]:
    """Ports that nothing listens on at any of these addresses at this moment.

    They are below those that a kernel gives to clients, so that a node that starts again finds its own still free.
    """
    candidates = random.SystemRandom().sample(range(10_000, 32_000), 1000)
    free = [port for port in candidates[:50] if all(_is_free(address, port) for address in addresses)]
    return free[:count]


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((address, port))
        return True
    return False


def answers_cql(address: str, port: int) -> bool:
    """Whether a node answers a request of CQL now; it needs no password for this one."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2) as connection:
        connection.sendall(OPTIONS)
        return connection.recv(len(SUPPORTED), socket.MSG_WAITALL) == SUPPORTED
    return False


def answers_tls(address: str, port: int) -> bool:
    """Whether TLS is spoken there now, with any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=2) as connection,
        context.wrap_socket(connection),
    ):
        return True
    return False


def accepts(address: str, port: int) -> bool:
    """Whether a connection is accepted there now."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2):
        return True
    return False


@attrs.frozen
class Ports:
    """Where the nodes of a cluster listen, all on the same ports of their own addresses."""

    native: int
    storage: int
    storage_tls: int
    thrift: int


class Node:
    """One node: a process that can be started again on the data that it left."""

    def __init__(self, server: str, address: str, folder: Path, serves: Sequence[Callable[[], bool]]) -> None:
        """Start nothing yet.

        :param folder: has ``conf``; data and logs go to ``data``.
        :param serves: tell together whether it answers its clients.
        """
        self.address = address
        self.folder = folder
        self._program = ROOT / "bin" / server / "bin" / "cassandra"
        self._serves = serves
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process, which may have ended."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives, be it paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def data(self) -> Path:
        """The folder that holds all that it writes."""
        return self.folder / "data"

    def log(self) -> str:
        """What it has logged, in all its runs."""
        try:
            return (self.data / "logs" / "system.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def output(self) -> str:
        """What it has printed in all its runs, without what it logged."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start its process, and do not wait for more."""
        assert not self.running, f"{self.address} runs already"
        where = ["--conf", str(self.folder / "conf"), "--data", str(self.data)]
        command = [str(self._program), "-f", *where, "-Dqueuey.console=ERROR"]
        with (self.folder / "output").open("ab") as stream:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
            )

    def serves(self) -> bool:
        """Whether it answers its clients now.

        :raise NoCassandra: where its process has ended.
        """
        if not self.running:
            raise NoCassandra(f"{self.address} has ended:\n{self.output()[-4000:]}\n{self.log()[-4000:]}")
        return all(answer() for answer in self._serves)

    def kill(self) -> None:
        """SIGKILL: what it had not synced is gone. Nothing where it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_LIMIT)

    def stop(self) -> None:
        """SIGINT, also while it is paused: it drains, tells the others and ends, within :data:`STOP_LIMIT` seconds."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGINT)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(STOP_LIMIT)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and nothing is answered once all its threads have stopped."""
        assert self.running
        os.kill(self.pid, signal.SIGSTOP)
        # One thread has to see the signal first, and the others go on until then, on a busy machine for a while.
        until = time.monotonic() + LIMIT
        while not _stopped(self.pid):
            assert time.monotonic() < until, "the node has not stopped"
            time.sleep(0.001)

    def resume(self) -> None:
        """SIGCONT: it goes on where it was."""
        assert self.running
        os.kill(self.pid, signal.SIGCONT)


def _stopped(pid: int) -> bool:
    """Whether all threads of a process are stopped by a signal."""
    states = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            states.append((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


class Cluster:
    """The nodes of one cluster."""

    def __init__(self, nodes: Sequence[Node], ports: Ports) -> None:
        self._nodes = tuple(nodes)
        self._ports = ports

    @classmethod
    def start(cls, nodes: int, folder: Path, *, server: str = CQL, jvm: Sequence[str] = (), **settings: Any) -> Cluster:
        """Start a new cluster and wait until every node serves and knows all others to be up.

        :param nodes: how many; the first is on 127.0.0.1.
        :param folder: will hold a folder for each node; the caller removes it once the cluster has ended.
        :param server: :data:`CQL` or :data:`THRIFT`.
        :param jvm: more options of the JVM.
        :param settings: of cassandra.yaml, in place of those in etc/cassandra.
        :raise NoCassandra: where it does not start within :data:`LIMIT` seconds; nothing is left running then.
        """
        addresses = [f"127.0.0.{number}" for number in range(1, nodes + 1)]
        ports = Ports(*free_ports(addresses, 4))
        made = []
        for number, address in enumerate(addresses):
            own = {"initial_token": token(number, nodes), **_settings(server, address, addresses, ports), **settings}
            made.append(_make(server, address, folder / str(number + 1), own, jvm, ports))
        cluster = cls(made, ports)
        try:
            cluster._start(made)
        except BaseException:
            cluster.end()
            raise
        return cluster

    @property
    def hosts(self) -> list[str]:
        """The addresses of all nodes."""
        return [node.address for node in self._nodes]

    @property
    def port(self) -> int:
        """Where each of them speaks CQL."""
        return self._ports.native

    @property
    def thrift_port(self) -> int:
        """Where each of them speaks Thrift, if it is a server that does."""
        return self._ports.thrift

    def node(self, index: int) -> Node:
        """One node, counted from 0."""
        return self._nodes[index]

    def restart(self, index: int) -> None:
        """Stop a node if it runs, start it on its own data, and wait as :meth:`start` does."""
        self._nodes[index].stop()
        self._start([self._nodes[index]])

    def end(self) -> None:
        """Kill all of them; their data stays."""
        for node in self._nodes:
            node.kill()

    def _start(self, nodes: Sequence[Node]) -> None:
        read = {node.address: len(node.log()) for node in self._nodes}
        for node in nodes:
            node.start()
        deadline = time.monotonic() + LIMIT
        for node in nodes:
            while not node.serves():
                self._wait(node, deadline)
        for node, other in self._pairs(nodes):
            met = re.compile(rf"/{re.escape(other.address)}(:\d+)? is now UP")
            while not met.search(node.log(), read[node.address]):
                self._wait(node, deadline)

    def _pairs(self, nodes: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
        """Which nodes have to notice which, once ``nodes`` have started: those that are paused or dead are not waited
        for."""
        running = [node for node in self._nodes if node.running]
        for node in running:
            for other in running:
                if node is not other and (node in nodes or other in nodes):
                    yield node, other

    @staticmethod
    def _wait(node: Node, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise NoCassandra(f"{node.address} takes too long:\n{node.output()[-4000:]}\n{node.log()[-4000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def running(nodes: int, folder: Path, **more: Any) -> Iterator[Cluster]:
    """A cluster for a ``with`` block, as :meth:`Cluster.start` makes it."""
    cluster = Cluster.start(nodes, folder, **more)
    try:
        yield cluster
    finally:
        cluster.end()


def _settings(server: str, address: str, addresses: Sequence[str], ports: Ports) -> dict[str, Any]:
    """Where a node listens, and whom it asks for the others."""
    port = f":{ports.storage}" if server == CQL else ""
    seeds = ",".join(f"{seed}{port}" for seed in addresses)
    provider = "org.apache.cassandra.locator.SimpleSeedProvider"
    return {
        "listen_address": address,
        "rpc_address": address,
        "native_transport_port": ports.native,
        "storage_port": ports.storage,
        "ssl_storage_port": ports.storage_tls,
        "seed_provider": [{"class_name": provider, "parameters": [{"seeds": seeds}]}],
        **({"rpc_port": ports.thrift} if server == THRIFT else {}),
    }


def _make(
    server: str, address: str, folder: Path, settings: Mapping[str, Any], jvm: Sequence[str], ports: Ports
) -> Node:
    """Write the settings of a node."""
    source = ROOT / "bin" / server / "conf"
    conf = folder / "conf"
    conf.mkdir(parents=True)
    text = (source / "cassandra.yaml").read_text(encoding="utf-8")
    (conf / "cassandra.yaml").write_text(changed(text, settings), encoding="utf-8")
    options = without_jmx((source / "jvm.options").read_text(encoding="utf-8"))
    (conf / "jvm.options").write_text("\n".join([options, *JVM, *jvm, ""]), encoding="utf-8")
    shutil.copy(source / "logback.xml", conf)
    tls = settings.get("client_encryption_options", {}).get("enabled")
    serves = [lambda: (answers_tls if tls else answers_cql)(address, ports.native)]
    if server == THRIFT:
        serves.append(lambda: accepts(address, ports.thrift))
    return Node(server, address, folder, serves)
