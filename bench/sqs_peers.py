"""Servers of the API of Amazon SQS, each started on loopback with files of its own: Queuey, ElasticMQ and moto.

Queuey and ElasticMQ with ``messages-storage`` have files, the others keep everything in memory. Only Queuey checks
signatures, and syncs the disk before it answers. ``make bench-sqs`` fetches the others into ``bin/sqs``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

from bench.servers import KEY, ROOT, free_port, queuey_command, serving
from bench.sqs_load import REGION
from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import AwsKey, aws_key

HOME: Final = ROOT / "bin" / "sqs"
PYTHON: Final = HOME / "venv" / "bin" / "python"
"""Of the environment that has moto and Celery."""

LIMIT: Final = 120.0
"""Seconds that a preparation, or a number of tasks, may take."""

START: Final = 60.0
"""Seconds that a server may take to start."""

OURS: Final = "queuey"

ANYONE: Final = AwsKey("testing", "testing")
"""The credentials for servers that check none."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")

_ELASTICMQ: Final = """\
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = "127.0.0.1", sqs-limits = strict }}
rest-stats {{ enabled = false }}
queues-storage {{ enabled = false }}
messages-storage {{ enabled = {stored}, driver-class = "org.h2.Driver", uri = "jdbc:h2:{folder}/messages" }}
"""


@attrs.define(eq=False)
class Server:
    """A server.

    :ivar pair: the credentials that it takes.
    :ivar pid: of its process.
    :ivar used: seconds of processor time for each message, of each measurement so far.
    """

    name: str
    url: str
    pair: AwsKey
    pid: int
    used: list[float] = attrs.Factory(list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a client."""
        ours = {"AWS_ACCESS_KEY_ID": self.pair.id, "AWS_SECRET_ACCESS_KEY": self.pair.secret}
        return {**os.environ, **ours, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}

    @property
    def broker(self) -> str:
        """The URL that Celery takes."""
        return f"sqs://{self.pair.id}:{quote(self.pair.secret, safe='')}@{self.url.removeprefix('http://')}//"

    def client(self) -> Any:
        """Return a client of this process."""
        import boto3

        pair = {"aws_access_key_id": self.pair.id, "aws_secret_access_key": self.pair.secret}
        return boto3.client("sqs", endpoint_url=self.url, region_name=REGION, **pair)

    def queue(self) -> str:
        """Make a queue and return its URL."""
        url: str = self.client().create_queue(QueueName=f"bench-{uuid.uuid4().hex[:12]}")["QueueUrl"]
        return url

    def left(self, queue: str) -> int:
        """Return how many messages a queue has, those that are in flight included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client().get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def check(self, queue: str) -> None:
        """Compare what a queue has left with what it should: nothing. A peer that has lost a deletion is named.

        :raise SystemExit: Queuey has messages.
        """
        if left := self.left(queue):
            text = f"{self.name} has {left} messages left in a queue whose messages were all deleted"
            if self.name == OURS:
                raise SystemExit(text)
            print(text, flush=True)

    def processor(self) -> float:
        """Return the seconds of processor time that the server has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rate(self, queue: str, clients: int, batch: int, seconds: float) -> float:
        """Return messages a second that clients sent, received and deleted."""
        command = [sys.executable, "-m", "bench.sqs_load", self.url, queue, str(batch), str(seconds)]
        with ExitStack() as stack:
            running = [stack.enter_context(_client(command, self.environment)) for _ in range(clients)]
            for one in running:
                assert one.stdout is not None
                if one.stdout.readline() != "ready\n":
                    raise SystemExit(f"a client of {self.name} did not begin")
            before = self.processor()
            for one in running:
                assert one.stdin is not None
                one.stdin.write("go\n")
                one.stdin.flush()
            results = []
            for one in running:
                output, _ = one.communicate(timeout=seconds + LIMIT)
                if one.returncode:
                    raise SystemExit(f"a client of {self.name} ended with status {one.returncode}")
                results.append(json.loads(output))
        self.used.append((self.processor() - before) / sum(one["messages"] for one in results))
        return float(sum(one["messages"] / one["seconds"] for one in results))

    def processor_each(self) -> float:
        """Return microseconds of processor time for each message, and forget the measurements."""
        found, self.used = statistics.median(self.used), []
        return found * 1e6

    def tasks(self, folder: Path, count: int) -> tuple[float, float]:
        """Return how many tasks a second one process of Celery sends, and a worker with two processes runs."""
        queue, done = f"tasks-{uuid.uuid4().hex[:12]}", folder / uuid.uuid4().hex
        done.touch()
        ours = {"BENCH_BROKER": self.broker, "BENCH_QUEUE": queue, "BENCH_FILE": str(done)}
        environment = {**self.environment, **ours}
        command = [str(PYTHON), "-m", "bench.celery_load", str(count)]
        sent = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if sent.returncode:
            raise SystemExit(f"tasks were not sent to {self.name}:\n{sent.stderr[-2000:]}")
        worker = [str(PYTHON), "-m", "celery", "-A", "bench.celery_load", "worker", "-c", "2", "-l", "WARNING"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        log = folder / f"{self.name}.worker.log".replace(" ", "-")
        with serving(worker, self.port, log, environment=environment):
            return float(sent.stdout), _run_rate(self.name, done, count)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])


def _client(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)


def _run_rate(name: str, done: Path, count: int) -> float:
    """Return tasks a second, from when the first were seen to have run until all have."""
    until = time.monotonic() + LIMIT
    first, began = 0, 0.0
    while time.monotonic() < until:
        ran, now = done.stat().st_size, time.monotonic()
        if ran and not first:
            first, began = ran, now
        if ran >= count:
            if ran > count:
                raise SystemExit(f"{name}: {ran} tasks ran, and {count} were sent")
            return (count - first) / (now - began) if count > first else float(count)
        time.sleep(0.005)
    raise SystemExit(f"{name}: {done.stat().st_size} of {count} tasks ran within {LIMIT:g} s")


def queuey(stack: ExitStack, folder: Path) -> Server:
    """A daemon whose application may use SQS."""
    port = free_port()
    command = queuey_command(folder, port, more="[application:bench]\nsqs = true\n")
    process = stack.enter_context(serving(command, port, folder / "servers.log"))
    return Server(OURS, f"http://127.0.0.1:{port}", aws_key(digest_of(KEY)), process.pid)


def elasticmq(stack: ExitStack, folder: Path, *, stored: bool) -> Server | None:
    """ElasticMQ, with its messages in memory alone or in files of H2 as well; ``None`` if it is not there."""
    java = shutil.which("java")
    if java is None or not (HOME / "lib").is_dir():
        return None
    port = free_port()
    settings = folder / "elasticmq.conf"
    settings.write_text(_ELASTICMQ.format(port=port, stored=str(stored).lower(), folder=folder))
    command = [java, f"-Dconfig.file={settings}", "-cp", str(HOME / "lib" / "*"), "org.elasticmq.server.Main"]
    process = stack.enter_context(serving(command, port, folder / "servers.log", START))
    name = "ElasticMQ, on disk" if stored else "ElasticMQ, in memory"
    return Server(name, f"http://127.0.0.1:{port}", ANYONE, process.pid)


def moto(stack: ExitStack, folder: Path) -> Server | None:
    """The server of moto; ``None`` if it is not there."""
    program = PYTHON.with_name("moto_server")
    if not program.exists():
        return None
    port = free_port()
    command = [str(program), "-H", "127.0.0.1", "-p", str(port)]
    process = stack.enter_context(serving(command, port, folder / "servers.log", START))
    return Server("moto", f"http://127.0.0.1:{port}", ANYONE, process.pid)
