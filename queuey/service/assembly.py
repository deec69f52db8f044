"""Putting the house together: the only place that knows every room."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from queuey.auth.application_key import ApplicationKeys
from queuey.auth.buckets import Buckets
from queuey.auth.signed_urls import MOST_RATES, SignedURLs
from queuey.auth.users import Users
from queuey.config import CassandraStorage, Settings
from queuey.core.applications.owners import KeyOwners
from queuey.core.applications.registry import Registry
from queuey.core.applications.stored import StoredApplications
from queuey.core.counting import Received
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.following import Following
from queuey.core.groups.rows import GroupRows
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies, Policies, StoredPolicies
from queuey.core.queues import QueueDirectory
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.http import rates
from queuey.http.authorized import Gate
from queuey.http.cors import Cors
from queuey.http.counting import NOWHERE, Counts
from queuey.http.errors import ErrorAnswers, render
from queuey.http.ongoing import Ongoing
from queuey.http.problems import code_of
from queuey.http.root import make_root
from queuey.http.v1 import V1
from queuey.http.v2 import api, stream
from queuey.http.v2.application import V2Application
from queuey.http.v2.claims import V2Claims
from queuey.http.v2.description import Description
from queuey.http.v2.groups import V2Groups
from queuey.http.v2.messages import V2Messages
from queuey.http.v2.moving import V2Moving
from queuey.http.v2.queues import V2Queues
from queuey.http.v2.settlements import V2Settlements
from queuey.http.v2.single import V2Single
from queuey.http.v2.stream import V2Stream
from queuey.http.wire import Limits, Refusal, Request, Site
from queuey.interfaces import IStore, ITraces, IWeb
from queuey.logs import LogObserver, access_logger
from queuey.model.counts import Metric, forget
from queuey.ops.draining import Draining
from queuey.ops.health import Health
from queuey.ops.metrics.page import MetricsPage
from queuey.ops.metrics.statsd import Statsd
from queuey.service.following import following
from queuey.service.health import free_bytes, liveness, readiness
from queuey.service.in_force import InForce
from queuey.service.metering import Readiness, of_the_daemon, of_the_door, statsd_of
from queuey.service.operators import in_thread, new_key, operators_site
from queuey.service.pulse import Pulse


@attrs.frozen
class House:
    """Everything that was put together, complete.

    :ivar traces: who is told of requests, if anybody is.
    :ivar metrics: what is counted; nothing where the settings say so.
    :ivar following: looks at groups for that.
    :ivar statsd: what sends it as lines, if anything does.
    """

    in_force: InForce
    users: Users
    store: IStore
    site: Site
    waits: Waits
    log: LogObserver
    ops: Site
    metrics: tuple[Metric, ...]
    draining: Draining
    ready: Health
    pulse: Pulse
    following: Following
    statsd: Statsd | None
    traces: ITraces | None

    def use(self, settings: Settings) -> None:
        """Put other settings in force, all at once."""
        self.in_force.use(settings)
        self.users.use(settings.identities)
        self.site.limits = limits(settings)
        self.site.forwarded = settings.server.forwarded
        self.log.set_level(settings.logging.level)


def assemble(
    settings: Settings,
    reactor: Any,
    now: Callable[[], float],
    store: IStore,
    log: LogObserver,
    web: Callable[[], IWeb],
    traces: ITraces | None = None,
) -> House:
    """Put the house together.

    :param settings: what to begin with.
    :param reactor: the reactor that will run.
    :param now: the wall clock, in seconds since 1970.
    :param store: the back end, not open yet.
    :param log: where the log goes.
    :param web: makes what asks verifiers and issuers, if anybody is to be asked.
    :param traces: who is told of requests, if anybody is.
    """
    in_force = InForce(settings)
    random = Random()
    stored = StoredApplications(
        store.states, reactor.seconds, lambda: in_force.settings.max_age, lambda: uuid.uuid4().hex
    )
    owners = KeyOwners(lambda: in_force.digests, lambda name: name in in_force.policies, stored, now)
    policies = Policies(
        GivenPolicies(lambda: in_force.policies),
        StoredPolicies(stored, lambda: in_force.settings.server.max_body),
    )
    directory = QueueDirectory(store, policies, GroupRows(store.states, os.urandom))
    waits = Waits(reactor, store.watch)
    rate_limits = RateLimits(policies, reactor)
    counts, received = (Counts(), Received()) if settings.metrics.enabled else (None, None)
    exchange = MessageExchange(store, policies, random.randrange, waits, rate_limits, settle(settings) > 0, received)
    groups = GroupExchange(store, policies, waits, now, os.urandom)
    users = Users(ApplicationKeys(owners.owner), settings.identities, web, reactor, now)
    signatures = SignedURLs(owners.digests, owners.use, now, Buckets(reactor.seconds, MOST_RATES))
    gate = Gate(
        policies, users.accepted, signatures, directory, rate_limits, Ongoing(policies, reactor, exchange.as_it_is)
    )
    cors = Cors(policies.origins)
    v1 = V1(directory, exchange, lambda: uuid.uuid4().hex)
    v2 = (
        V2Application(store, settle(settings), lambda: limits(in_force.settings)),
        V2Queues(directory),
        V2Messages(exchange, V2Stream(exchange), lambda: store.promises.survives_power_loss, now),
        V2Single(exchange, now),
        V2Groups(groups, now),
        V2Claims(groups, exchange),
        V2Settlements(groups),
        V2Moving(groups),
    )
    draining = Draining(reactor.seconds)
    pulse = Pulse(reactor)
    ready = readiness(
        store,
        draining,
        lambda: in_force.settings,
        lambda folder: in_thread(reactor, lambda: free_bytes(folder)),
        reactor,
    )
    root = make_root(
        (*v1.routes(), *api.routes(v2)),
        api.open_routes(Description()),
        gate,
        cors,
        store,
        ErrorAnswers(lambda: uuid.uuid4().hex),
        lambda: draining.on,
    )

    def before_head(request: Request) -> None:
        api.add_headers(request)
        cors.add_headers(request)
        rates.add_headers(request)

    def refused(request: Request | None, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        if counts is not None:
            counts.refused(None if request is None else request.application, code_of(refusal))
        return render(request, refusal)

    site = Site(
        resource=root,
        limits=limits(settings),
        reactor=reactor,
        now=now,
        # Nobody needs to be kept from guessing these, and true randomness takes a call of the kernel each time.
        new_id=lambda: f"{random.getrandbits(128):032x}",
        forwarded=settings.server.forwarded,
        access=access_logger(globalLogPublisher, now),
        render=refused,
        before_head=before_head,
        streams=stream.wants,
        counts=counts,
        traces=traces,
    )
    registry = Registry(
        stored, owners, store, in_force.given, not isinstance(settings.storage, CassandraStorage), now, new_key
    )
    follows = following(in_force, store, groups, registry.names, reactor, now)
    readiness_seen = Readiness(ready)
    metrics: tuple[Metric, ...] = ()
    if counts is not None and received is not None:
        metrics = (
            *of_the_daemon(draining),
            readiness_seen.metric,
            *of_the_door(site, waits),
            *counts.metrics,
            *received.metrics,
            pulse.delays,
            *log.metrics,
            *store.metrics,
            *follows.metrics,
        )

    def look_around() -> Deferred[None]:
        there = {NOWHERE, *in_force.policies, *stored.known.applications}
        forget(metrics, "application", there.__contains__)
        return readiness_seen.look()

    ops = operators_site(
        in_force,
        reactor,
        now,
        store,
        log,
        registry,
        policies,
        directory,
        exchange,
        groups,
        draining,
        liveness(pulse, reactor),
        ready,
        lambda: {"connections": site.connections, "requests": site.busy},
        MetricsPage(metrics, reactor, look_around) if metrics else None,
    )
    statsd = statsd_of(settings.metrics, metrics, reactor, look_around)
    return House(
        in_force, users, store, site, waits, log, ops, metrics, draining, ready, pulse, follows, statsd, traces
    )


def settle(settings: Settings) -> float:
    """Seconds for which messages of a strong queue wait until readers of a range see them."""
    storage = settings.storage
    if not isinstance(storage, CassandraStorage):
        return 0.0
    wait = storage.write_timeout + storage.clock_skew if storage.frontends == "many" else 0.0
    return wait + storage.base_delay


def limits(settings: Settings) -> Limits:
    """The limits of the door."""
    server = settings.server
    return Limits(
        max_body=server.max_body,
        max_header=server.max_header,
        header_timeout=server.header_timeout,
        request_timeout=server.request_timeout,
        idle_timeout=server.idle_timeout,
        max_connections=server.max_connections,
    )
