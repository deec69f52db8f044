"""Assembles the daemon: the only module that knows every package."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from queuey.auth.application_key import ApplicationKeys
from queuey.auth.users import Users
from queuey.config import CassandraStorage, Settings
from queuey.core.activity import Activity, QueueCounts
from queuey.core.applications.owners import KeyOwners
from queuey.core.applications.registry import Registry
from queuey.core.applications.stored import StoredApplications
from queuey.core.contention import Retries
from queuey.core.counting import Received
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.following import Following
from queuey.core.groups.rows import GroupRows
from queuey.core.live.numbers import waiting_here, waiting_in_all
from queuey.core.live.reads import LiveReads
from queuey.core.many.reading import ManyReader
from queuey.core.many.watching import ManyWatch
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies, Policies, StoredPolicies
from queuey.core.pushes.engine import PushEngine
from queuey.core.queue_following import QueueFollowing
from queuey.core.queues import QueueDirectory
from queuey.core.rates import RateLimits
from queuey.core.schedules.engine import ScheduleEngine
from queuey.core.waiting import Waits
from queuey.deferreds import deferred
from queuey.http.connection.sending import Turn
from queuey.http.requests.counting import NOWHERE, Counts
from queuey.http.sqs.port import SqsPort
from queuey.http.sqs.removals import Removals
from queuey.http.wire import Site
from queuey.interfaces import IStore, ITraces, IWeb
from queuey.logs import EventLog, LogObserver, access_logger
from queuey.model.telemetry.counts import Metric, forget
from queuey.model.timeid import from_seconds
from queuey.ops.dashboard.tokens import Tokens
from queuey.ops.draining import Draining
from queuey.ops.health import Health
from queuey.ops.methods.dashboard import Dashboard, HealthMethods
from queuey.ops.metrics.page import MetricsPage
from queuey.ops.metrics.statsd import Statsd
from queuey.service.parts.clients import clients_site, limits, live_times, settle
from queuey.service.parts.components import Components
from queuey.service.parts.dashboard import DashboardServer, dashboard_site, page_urls
from queuey.service.parts.following import following
from queuey.service.parts.health import free_bytes, liveness, readiness
from queuey.service.parts.in_force import InForce
from queuey.service.parts.metering import Readiness, of_live_reads, of_the_daemon, of_the_http_server, statsd_of
from queuey.service.parts.operators import in_thread, new_key, operators_rpc, operators_site
from queuey.service.parts.pushing import MakeSender, make_sender, pushing
from queuey.service.parts.reactor_lag import Pulse
from queuey.service.parts.scheduling import scheduling
from queuey.service.process.listening import Listeners
from queuey.service.workers.counting import Sums
from queuey.service.workers.workers import Workers


@attrs.frozen(kw_only=True)
class Assembly:
    """All parts of the daemon, put together.

    :ivar by_queue: what this process has counted for each queue and has not passed on yet.
    :ivar activity: how busy queues are, in all processes; ``None`` if the settings switch counting off.
    :ivar sqs: makes the connections of the port that SQS has for itself.
    :ivar removals: removes messages that were deleted through SQS.
    :ivar traces: exports spans of requests, if that is asked for.
    :ivar metrics: all metrics; empty if the settings switch them off.
    :ivar let_go: drops counts of applications that do not exist any more.
    :ivar following: measure groups and queues for the metrics.
    :ivar statsd: sends the metrics to StatsD, if that is asked for.
    :ivar pushes: sends pushes; only in processes that serve.
    :ivar schedules: posts the messages of schedules; only in processes that serve.
    :ivar workers: the processes that serve instead of this one, if there are any.
    """

    in_force: InForce
    owners: KeyOwners
    users: Users
    store: IStore
    by_queue: QueueCounts
    activity: Activity | None
    site: Site
    sqs: SqsPort
    removals: Removals
    waits: Waits
    live: LiveReads
    log: LogObserver
    ops: Site
    dashboard: DashboardServer
    metrics: tuple[Metric, ...]
    let_go: Callable[[], None]
    draining: Draining
    ready: Health
    pulse: Pulse
    following: tuple[Following, QueueFollowing]
    statsd: Statsd | None
    traces: ITraces | None
    pushes: PushEngine
    schedules: ScheduleEngine
    workers: Workers | None

    def use(self, settings: Settings) -> None:
        """Put other settings in force, all at once."""
        self.in_force.use(settings)
        self.users.use(settings.identities)
        self.site.limits = limits(settings)
        self.site.forwarded = self.dashboard.site.forwarded = settings.server.forwarded
        self.log.set_level(settings.logging.level)
        if self.workers is not None:
            self.workers.use()


def assemble(
    settings: Settings,
    reactor: Any,
    now: Callable[[], float],
    store: IStore,
    log: LogObserver,
    web: Callable[[], IWeb],
    traces: ITraces | None = None,
    workers: Workers | None = None,
    alone: bool = False,
    push_sender: MakeSender = make_sender,
) -> Assembly:
    """Put all parts together.

    :param settings: the settings at the start.
    :param reactor: the reactor that will run.
    :param now: the wall clock, in seconds since 1970.
    :param store: the back end, not open yet.
    :param log: the log.
    :param web: makes the client for verifiers and issuers, if there are any.
    :param traces: exports spans of requests, if that is asked for.
    :param workers: the processes that serve instead of this one, if there are any.
    :param alone: whether only the log observes events, so that access lines may be written to it directly.
    :param push_sender: makes what sends pushes.
    """
    in_force = InForce(settings)
    random = Random()
    retries = Retries(reactor, os.urandom)
    stored = StoredApplications(store.states, retries, lambda: in_force.settings.max_age, lambda: uuid.uuid4().hex)
    owners = KeyOwners(lambda: in_force.digests, lambda name: name in in_force.policies, stored, now)
    policies = Policies(
        GivenPolicies(lambda: in_force.policies),
        StoredPolicies(stored, lambda: in_force.settings.server.max_body, lambda: in_force.policies),
    )
    waits = Waits(reactor, store.subscribe)
    directory = QueueDirectory(store, policies, GroupRows(store.states, os.urandom, store.groups), retries)
    rate_limits = RateLimits(policies, reactor)
    by_queue = QueueCounts()
    activity = Activity(reactor, by_queue) if settings.metrics.enabled else None
    counts, received = (Counts(by_queue), Received(by_queue)) if settings.metrics.enabled else (None, None)
    exchange = MessageExchange(
        store=store,
        policies=policies,
        choose=random.randrange,
        waits=waits,
        rates=rate_limits,
        settles=settle(settings) > 0,
        received=received,
    )
    removals = Removals(exchange, reactor)
    watch = ManyWatch(store, waits, lambda: from_seconds(now()), settle(settings))
    many = ManyReader(watch, store, policies, lambda: from_seconds(now()))
    sole = settings.server.workers <= 1 and waits.look_every is None  # the store knows whether others write to it
    groups = GroupExchange(
        store=store, policies=policies, waits=waits, now=now, new_bytes=os.urandom, alone=sole, activity=by_queue
    )
    pushes, engine = pushing(
        in_force=in_force,
        reactor=reactor,
        now=now,
        store=store,
        directory=directory,
        groups=groups,
        messages=exchange,
        policies=policies,
        rates=rate_limits,
        stored=stored,
        alone=sole,
        make=push_sender,
    )
    schedules, schedule_engine = scheduling(
        reactor=reactor, now=now, store=store, directory=directory, messages=exchange, policies=policies
    )
    users = Users(ApplicationKeys(owners), settings.identities, web, reactor, now)
    live = LiveReads(reactor, lambda: live_times(in_force.settings), random.uniform, _live_defect)
    draining = Draining(reactor.seconds, lambda: live.leave(live.spread))
    pulse = Pulse(reactor)
    ready = readiness(
        store=store,
        draining=draining,
        settings=lambda: in_force.settings,
        free=lambda folder: in_thread(reactor, lambda: free_bytes(folder)),
        clock=reactor,
        accepting=None if workers is None else workers.accepting,
    )
    turn = Turn(reactor, log.write_gathered)
    access = access_logger(globalLogPublisher, now)
    if alone:
        log.gather(turn.at_its_end)
        access = log.access
    parts = Components(
        in_force=in_force,
        reactor=reactor,
        now=now,
        store=store,
        log=log,
        owners=owners,
        policies=policies,
        users=users,
        directory=directory,
        exchange=exchange,
        removals=removals,
        many=many,
        groups=groups,
        pushes=pushes,
        schedules=schedules,
        rate_limits=rate_limits,
        live=live,
        draining=draining,
        traces=traces,
        access=access,
        turn=turn,
    )
    site = clients_site(parts, os.urandom, counts)
    registry = Registry(
        stored=stored,
        owners=owners,
        store=store,
        given=in_force.given,
        counts_bytes=not isinstance(settings.storage, CassandraStorage),
        now=now,
        new_key=new_key,
    )
    follows = following(
        in_force=in_force,
        store=store,
        groups=groups,
        directory=directory,
        applications=registry.names,
        reactor=reactor,
        now=now,
    )
    readiness_seen = Readiness(ready)
    metrics: tuple[Metric, ...] = ()
    if counts is not None and received is not None:
        metrics = (
            *of_the_daemon(draining),
            readiness_seen.metric,
            *of_the_http_server(site, waits, watch),
            *counts.metrics,
            *received.metrics,
            *of_live_reads(live, now),
            pulse.delays,
            *log.metrics,
            *store.metrics,
            *(metric for one in follows for metric in one.metrics),
            *engine.metrics,
            *schedule_engine.counts.metrics,
        )

    def let_go() -> None:
        there = {NOWHERE, *in_force.policies, *stored.known.applications}
        forget(metrics, "application", there.__contains__)

    shown = metrics
    sums = Sums((*metrics, *workers.metrics)) if workers is not None and metrics else None
    if sums is not None:
        shown = sums.metrics

    @deferred
    async def look_around() -> None:
        let_go()
        if workers is not None and sums is not None:
            await workers.count()
            sums.look(workers.counted())
        await readiness_seen.look()

    def under_way() -> Mapping[str, int]:
        here = {"connections": site.connections, "requests": site.busy}
        return here if workers is None else workers.under_way()

    alive = liveness(pulse, reactor, store)
    tokens = Tokens(lambda: in_force.settings.server.dashboard.tokens, reactor.seconds, new_key)
    listeners = Listeners()

    def processes() -> Mapping[str, Any]:
        asked = in_force.settings.server.workers
        return {"workers": None if workers is None else {"asked": asked, "accepting": workers.accepting()}}

    rpc = operators_rpc(
        parts,
        registry,
        busy=under_way,
        activity=activity,
        waiting=lambda: waiting_here(waits.seats, live) if workers is None else waiting_in_all(workers.waiting()),
        more={
            "dashboard": Dashboard(
                tokens, lambda: page_urls(in_force.settings.server.dashboard, listeners.addresses()), now
            ),
            "health": HealthMethods(alive, ready, shown, look_around, processes),
        },
    )
    ops = operators_site(
        parts,
        rpc,
        live=alive,
        ready=ready,
        metrics=MetricsPage(shown, reactor, look_around) if shown else None,
    )
    statsd = statsd_of(settings.metrics, shown, reactor, look_around)
    return Assembly(
        in_force=in_force,
        owners=owners,
        users=users,
        store=store,
        by_queue=by_queue,
        activity=activity,
        site=site,
        sqs=SqsPort(site),
        removals=removals,
        waits=waits,
        live=live,
        log=log,
        ops=ops,
        dashboard=DashboardServer(dashboard_site(parts, rpc, tokens), tokens, listeners),
        metrics=metrics,
        let_go=let_go,
        draining=draining,
        ready=ready,
        pulse=pulse,
        following=follows,
        statsd=statsd,
        traces=traces,
        pushes=engine,
        schedules=schedule_engine,
        workers=workers,
    )


_log = EventLog(Logger(namespace="queuey.core"))


def _live_defect(failure: Failure) -> None:
    """Log a defect that has ended live reads."""
    _log.failure("live-defect", "live reads failed, and were ended", failure)
