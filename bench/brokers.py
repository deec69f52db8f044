"""The peers of Queuey, each with its own configuration, started on loopback from a folder of its own.

Nothing of the system is used but the programs: no service, no file below /etc or /var. Redis writes a log and syncs it
before each answer; RabbitMQ has durable queues and is sent persistent messages.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
from pika import BlockingConnection, ConnectionParameters

from bench import amqp
from bench.servers import free_port, load, serving

SIZE: Final = 140
"""Bytes of a message's body."""

BODY: Final = b"x" * SIZE

MODULE: Final = "/usr/lib/nginx/modules/ngx_nchan_module.so"

PROGRAMS: Final = {
    "nginx": "nginx",
    MODULE: "libnginx-mod-nchan",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "webdis": "webdis",
    "rabbitmq-server": "rabbitmq-server",
    "epmd": "erlang-base",
}
"""What has to be there, and the package of Debian that it is of."""

RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the one on PATH, which becomes another user, for whom the folder of a benchmark is closed."""

_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_START: Final = 120.0
"""Seconds that RabbitMQ may take to start, and to end."""

_LIMIT: Final = 60.0
"""Seconds that anything else may take."""


def missing(programs: Mapping[str, str]) -> list[str]:
    """The packages of those programs, or files, that are not there."""
    return [
        package
        for program, package in programs.items()
        if not (Path(program).exists() if program.startswith("/") else shutil.which(program, path=_PATH))
    ]


def prepare(programs: Mapping[str, str]) -> None:
    """Look for the programs of peers, and let signals that end this program end those that it starts.

    :raise SystemExit: some are missing.
    """
    absent = missing(programs)
    if absent:
        raise SystemExit(f"peers are missing; on Debian, as root: apt-get install {' '.join(absent)}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@attrs.define(eq=False)
class Side:
    """One server, or one way to speak to it.

    :ivar asks: puts load on it for some seconds over some connections; what :mod:`bench.load` prints.
    :ivar stored: how many messages it has, as far as they are on the disk.
    :ivar acknowledged: how many it has said to have.
    """

    name: str
    asks: Callable[[int, float], dict[str, Any]]
    stored: Callable[[], int]
    acknowledged: int = 0

    def rate(self, connections: int, seconds: float) -> float:
        """Messages a second that were acknowledged under load.

        :raise SystemExit: where one was refused, or none was acknowledged.
        """
        result = self.asks(connections, seconds)
        if result["refused"] or not result["answered"]:
            raise SystemExit(f"{self.name} refused {result['refused']} of {result['answered']} messages")
        self.acknowledged += result["answered"]
        return float(result["rate"])

    def check(self) -> None:
        """Print what it stores.

        :raise SystemExit: where that is less than what it has acknowledged.
        """
        stored = self.stored()
        print(f"{self.name}: {self.acknowledged} acknowledged, {stored} stored", flush=True)
        if stored < self.acknowledged:
            raise SystemExit(f"{self.name} stores {stored} of {self.acknowledged} messages that it has acknowledged")


def post(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def asking(port: int, request: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Put load on a server; see :func:`bench.servers.load`."""
    return load(port, connections, seconds, request)


def room(folder: Path) -> int:
    """For how many bodies there is room in what files below a folder hold."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // SIZE


# Redis


def redis_settings(folder: Path, port: int) -> str:
    """The settings of a Redis that syncs its log before each answer, and never rewrites it."""
    return (
        f"bind 127.0.0.1\nport {port}\ndir {folder}\ndaemonize no\nappendonly yes\nappendfsync always\n"
        'auto-aof-rewrite-percentage 0\nsave ""\n'
    )


def redis(stack: ExitStack, folder: Path) -> int:
    """Start one; its port.

    :raise SystemExit: where it does not sync before each answer.
    """
    port = free_port()
    settings = folder / "redis.conf"
    settings.write_text(redis_settings(folder, port))
    stack.enter_context(serving(["redis-server", str(settings)], port, folder / "redis.log"))
    found = (
        ask_redis(port, "CONFIG", "GET", "appendfsync").split() + ask_redis(port, "CONFIG", "GET", "appendonly").split()
    )
    if found != ["appendfsync", "always", "appendonly", "yes"]:
        raise SystemExit(f"Redis does not sync before each answer: {found}")
    return port


def ask_redis(port: int, *command: str) -> str:
    """What Redis answers a command."""
    done = subprocess.run(
        ["redis-cli", "-p", str(port), "--raw", *command], check=True, capture_output=True, text=True, timeout=_LIMIT
    )
    return done.stdout.strip()


def in_list(port: int, folder: Path, key: str) -> int:
    """How many messages are in a list of Redis, as far as there is room for them in its log."""
    return min(int(ask_redis(port, "LLEN", key)), room(folder / "appendonlydir"))


# nchan


def nchan_settings(folder: Path, port: int, redis: int, workers: int, user: str) -> str:
    """The settings of an nginx with nchan that keeps messages of a day in Redis, and writes no access log.

    :param user: whom its workers run as, where it is started by root; or nothing.
    """
    paths = "".join(
        f"    {kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"load_module {MODULE};\n"
        + (f"user {user};\n" if user else "")
        + f"daemon off;\nworker_processes {workers};\npid {folder / 'nginx.pid'};\nerror_log stderr;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n{paths}"
        "    access_log off;\n    keepalive_requests 1000000000;\n    nchan_shared_memory_size 512M;\n"
        f"    upstream redis {{\n        nchan_redis_server redis://127.0.0.1:{redis};\n"
        "        nchan_redis_storage_mode distributed;\n    }\n"
        f"    server {{\n        listen 127.0.0.1:{port};\n        location = /q {{\n"
        "            nchan_publisher;\n            nchan_channel_id q;\n            nchan_redis_pass redis;\n"
        "            nchan_message_buffer_length 1000000000;\n            nchan_message_timeout 1d;\n"
        "        }\n    }\n}\n"
    )


def nchan(stack: ExitStack, folder: Path, workers: int) -> Side:
    """nchan before a Redis of its own."""
    store, port = redis(stack, folder), free_port()
    settings = folder / "nginx.conf"
    settings.write_text(nchan_settings(folder, port, store, workers, "root" if os.getuid() == 0 else ""))
    command = [found("nginx"), "-p", str(folder), "-c", str(settings), "-e", "stderr"]
    stack.enter_context(serving(command, port, folder / "nginx.log"))
    asks = partial(asking, port, post("/q", BODY, Content_Type="text/plain"))
    return Side(f"nchan, workers: {workers}", asks, partial(in_list, store, folder, "{channel:/q}:messages"))


# webdis


def webdis_settings(folder: Path, port: int, redis: int, threads: int) -> str:
    """The settings of a webdis."""
    return json.dumps(
        {
            "redis_host": "127.0.0.1",
            "redis_port": redis,
            "http_host": "127.0.0.1",
            "http_port": port,
            "threads": threads,
            "pool_size": 20,
            "daemonize": False,
            "database": 0,
            "acl": [],
            "verbosity": 1,
            "logfile": str(folder / "webdis.log"),
        }
    )


def webdis(stack: ExitStack, folder: Path, threads: int) -> Side:
    """webdis before a Redis of its own: each POST has a command that adds a message to a list."""
    store, port = redis(stack, folder), free_port()
    settings = folder / "webdis.json"
    settings.write_text(webdis_settings(folder, port, store, threads))
    stack.enter_context(serving(["webdis", str(settings)], port, folder / "webdis.output"))
    asks = partial(asking, port, post("/", b"RPUSH/q/" + BODY))
    return Side(f"webdis, threads: {threads}", asks, partial(in_list, store, folder, "q"))


# RabbitMQ


def rabbitmq_settings(port: int, http: int) -> str:
    """The settings of a RabbitMQ."""
    return (
        f"listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {http}\n"
        "management_agent.disable_metrics_collector = true\n"
    )


def rabbitmq_environment(folder: Path, names: int, distribution: int) -> dict[str, str]:
    """Where a RabbitMQ has its files, and what keeps it apart from any other one of this machine.

    :param names: the port of the daemon of Erlang that knows who is there.
    :param distribution: the port on which it is spoken to by programs of its own.
    """
    return {
        "PATH": _PATH,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": "queuey-bench@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }


def rabbitmq(stack: ExitStack, folder: Path) -> list[Side]:
    """RabbitMQ: over HTTP by its management plugin, and over AMQP; both confirm what is on the disk."""
    names, distribution, port, http = (free_port() for _ in range(4))
    (folder / "rabbitmq.conf").write_text(rabbitmq_settings(port, http))
    (folder / "plugins").write_text("[rabbitmq_management].\n")
    log = folder / "rabbitmq.log"
    # Without one it would start one, which would stay.
    stack.enter_context(serving(["epmd", "-port", str(names), "-address", "127.0.0.1"], names, log))
    environment = rabbitmq_environment(folder, names, distribution)
    stack.enter_context(serving([RABBITMQ], http, log, limit=_START, environment=environment))
    for queue in ("http", "amqp"):
        declare(port, queue)
    stored = {queue: partial(in_queue, port, folder, queue) for queue in ("http", "amqp")}
    return [
        Side("RabbitMQ over HTTP", partial(asking, http, publication("http")), stored["http"]),
        Side("RabbitMQ over AMQP", partial(amqp.load, port, "amqp"), stored["amqp"]),
    ]


def publication(queue: str) -> bytes:
    """The bytes of a POST to the management plugin that publishes a persistent message to a queue."""
    body = {
        "properties": {"delivery_mode": 2},
        "routing_key": queue,
        "payload": BODY.decode(),
        "payload_encoding": "string",
    }
    login = base64.b64encode(b"guest:guest").decode()
    text = json.dumps(body).encode()
    path = "/api/exchanges/%2f/amq.default/publish"
    return post(path, text, Authorization=f"Basic {login}", Content_Type="application/json")


def declare(port: int, queue: str, passive: bool = False) -> int:
    """Make a durable queue, or look at the one that is there; how many messages it has."""
    connection = BlockingConnection(ConnectionParameters("127.0.0.1", port, socket_timeout=_LIMIT))
    try:
        answer = connection.channel().queue_declare(queue, durable=True, passive=passive)
        return int(answer.method.message_count)
    finally:
        connection.close()


def in_queue(port: int, folder: Path, queue: str) -> int:
    """How many messages are in a queue of RabbitMQ, as far as there is room for them in its files."""
    return min(declare(port, queue, passive=True), room(folder / "data" / "queuey-bench@localhost" / "msg_stores"))


def found(program: str) -> str:
    """Where a program is, be it one for administrators."""
    return shutil.which(program, path=_PATH) or program
