"""The operators' port, put together."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from queuey import __version__
from queuey.config import CassandraStorage, SQLiteStorage
from queuey.core.activity import Activity
from queuey.core.applications.registry import Registry
from queuey.core.live.numbers import Waiting
from queuey.core.peeking import Peeks
from queuey.core.reports import QueueReports
from queuey.deferreds import TurnQueue
from queuey.http.wire import Limits, Site
from queuey.model.applications.application import KEY_BYTES
from queuey.ops.access import CALL, LIVE, READ, READY, Endpoint, OperatorsRoot, render_refusal, who
from queuey.ops.access import RPC as RPC_PATH
from queuey.ops.audit import audit_logger
from queuey.ops.health import Health, HealthPage
from queuey.ops.methods.applications import Applications, Keys, LimitsMethods, Policies
from queuey.ops.methods.daemon import Daemon, Logging
from queuey.ops.methods.dead import Dead
from queuey.ops.methods.groups import Groups
from queuey.ops.methods.live import Live
from queuey.ops.methods.messages import Messages
from queuey.ops.methods.pushes import Pushes
from queuey.ops.methods.queues import Queues
from queuey.ops.methods.reports import DAEMON, Reporter
from queuey.ops.methods.schedules import Schedules
from queuey.ops.methods.shown import moment
from queuey.ops.methods.store import Maintenance, Store
from queuey.ops.metrics.page import PATH as METRICS_PATH
from queuey.ops.metrics.page import MetricsPage
from queuey.ops.rpc import RPC, Methods
from queuey.service.parts.components import Components
from queuey.service.parts.in_force import InForce

LIMITS: Final = Limits(
    max_body=1 << 20,
    max_header=64 << 10,
    header_timeout=10,
    request_timeout=60,
    idle_timeout=75,
    max_connections=100,
)
"""Of the operators' port: no setting changes them, so that none shuts operators out."""


def new_key() -> str:
    """Make a key that cannot be guessed."""
    return secrets.token_urlsafe(KEY_BYTES)


def operators_rpc(
    parts: Components,
    registry: Registry,
    *,
    busy: Callable[[], Mapping[str, int]],
    activity: Activity | None,
    waiting: Callable[[], Mapping[str, Waiting]],
    more: Mapping[str, Methods],
) -> RPC:
    """The methods of operators, which the operators' port and the dashboard serve.

    :param busy: returns the numbers of requests and connections of the clients' server.
    :param activity: how busy queues are, if that is counted.
    :param waiting: returns what waits and reads live, by application.
    :param more: further methods, by the part of their names before the dot.
    """
    in_force, reactor, now, store, log = parts.in_force, parts.reactor, parts.now, parts.store, parts.log
    started = now()

    def facts() -> dict[str, Any]:
        settings = in_force.settings
        return {
            "version": __version__,
            "pid": os.getpid(),
            "settings": str(settings.source) if settings.source else "built-in settings",
            "backend": type(settings.storage).__name__.removesuffix("Storage").lower(),
            "started": moment(started),
            "uptime": int(now() - started),
            "log_level": log.level,
            **busy(),
        }

    reports = QueueReports(parts.directory, parts.groups, activity, registry.names, reactor)
    scope = "front-end" if isinstance(in_force.settings.storage, CassandraStorage) else DAEMON
    reporter = Reporter(reports, activity, scope, now)
    methods = {
        "applications": Applications(registry),
        "keys": Keys(registry),
        "policies": Policies(registry),
        "limits": LimitsMethods(registry),
        "queues": Queues(parts.policies, parts.directory, parts.exchange, reporter),
        "groups": Groups(parts.directory, parts.groups, reactor),
        "dead": Dead(parts.directory, parts.groups),
        "messages": Messages(
            parts.directory,
            Peeks(parts.exchange),
            lambda: in_force.settings.server.ops.peek,
            "Operators may not read messages; [server] ops_peek = true allows it.",
        ),
        "pushes": Pushes(parts.directory, parts.pushes),
        "schedules": Schedules(parts.directory, parts.schedules),
        "store": Store(store, care(in_force, reactor), lambda: in_force.settings.server.ops.backups, now),
        "live": Live(parts.policies, waiting, scope, now),
        "log": Logging(log),
        **more,
    }
    return RPC(
        Daemon(store, parts.draining, facts),
        methods,
        who,
        audit_logger(globalLogPublisher, now),
        lambda: uuid.uuid4().hex,
        TurnQueue(reactor),
    )


def operators_site(parts: Components, rpc: RPC, *, live: Health, ready: Health, metrics: MetricsPage | None) -> Site:
    """The HTTP server of the operators' port, with all that it serves.

    :param metrics: the metrics page, if there is one.
    """
    in_force, reactor, now = parts.in_force, parts.reactor, parts.now
    return Site(
        resource=OperatorsRoot(
            {RPC_PATH: Endpoint(rpc, CALL), **({} if metrics is None else {METRICS_PATH: Endpoint(metrics, READ)})},
            {LIVE: HealthPage(live), READY: HealthPage(ready)},
            lambda: in_force.settings.server.ops.hosts,
            lambda: in_force.settings.server.ops.token,
        ),
        limits=LIMITS,
        reactor=reactor,
        now=now,
        new_id=lambda: uuid.uuid4().hex,
        forwarded=(),
        access=parts.access,
        render=render_refusal,
        turn=parts.turn,
    )


def care(in_force: InForce, reactor: Any) -> Maintenance | None:
    """Return the operations on the store as a whole, if it has any."""
    storage = in_force.settings.storage
    if not isinstance(storage, SQLiteStorage):
        return None
    from queuey.storage.sqlite.upkeep.maintenance import SQLiteCare

    return SQLiteCare(storage.path, lambda work: in_thread(reactor, work), storage.modes)


def in_thread(reactor: Any, work: Callable[[], Any]) -> Deferred[Any]:
    """Call a function in a daemon thread: the end of the process does not wait for a copy.

    :return: fires with its result, or fails with its exception.
    """
    done: Deferred[Any] = Deferred()

    def run() -> None:
        try:
            result = work()
        except BaseException:
            result = Failure()
        reactor.callFromThread(done.callback, result)

    Thread(target=run, name="queuey-aside", daemon=True).start()
    return done
