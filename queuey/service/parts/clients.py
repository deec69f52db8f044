"""The clients' port, put together."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from queuey.auth.buckets import Buckets
from queuey.auth.signed_urls import MAX_RATES, SignedURLs
from queuey.auth.sigv4 import AwsSignatures, UncheckedAwsSignatures
from queuey.config import CassandraStorage, Settings
from queuey.core.live.reads import LiveTimes
from queuey.core.sqs_queues import SqsQueues
from queuey.deferreds import TurnQueue
from queuey.http.admission import rates
from queuey.http.admission.cors import Cors
from queuey.http.admission.gate import Gate
from queuey.http.admission.ongoing import Ongoing
from queuey.http.answers import problems
from queuey.http.answers.errors import ErrorAnswers, render
from queuey.http.answers.problems import code_of
from queuey.http.requests.counting import Counts
from queuey.http.root import make_root
from queuey.http.sqs.api import SqsApi, allow_body
from queuey.http.sqs.callers import SqsGate
from queuey.http.sqs.move_tasks import SqsMoves
from queuey.http.sqs.moving import SqsMoving
from queuey.http.sqs.permissions import SqsPermissions
from queuey.http.sqs.queues import SqsAdministration
from queuey.http.sqs.receiving import SqsReceiving
from queuey.http.sqs.sending import SqsSending
from queuey.http.sqs.settling import SqsSettling
from queuey.http.v1.api import V1
from queuey.http.v2 import api
from queuey.http.v2.application import V2Application
from queuey.http.v2.description import Description
from queuey.http.v2.groups.claims import V2Claims
from queuey.http.v2.groups.groups import V2Groups
from queuey.http.v2.groups.moving import V2Moving
from queuey.http.v2.groups.settlements import V2Settlements
from queuey.http.v2.live.events import EventsForErrors, V2Events
from queuey.http.v2.many.claims import V2ManyClaims
from queuey.http.v2.many.events import V2ManyEvents
from queuey.http.v2.many.reads import V2Reads
from queuey.http.v2.messages.messages import V2Messages
from queuey.http.v2.messages.restores import V2Restores
from queuey.http.v2.messages.single import V2Single
from queuey.http.v2.pushes.actions import V2PushActions
from queuey.http.v2.pushes.pushes import V2Pushes
from queuey.http.v2.queues import V2Queues
from queuey.http.v2.representations.fields import NO_STORE
from queuey.http.v2.schedules import V2Schedules
from queuey.http.v2.streams import stream
from queuey.http.v2.streams.stream import V2Stream
from queuey.http.wire import Limits, Refusal, Request, Site
from queuey.interfaces import IAwsSignatures
from queuey.service.parts.components import Components

_UNCACHED: Final = (NO_STORE,)
"""Header fields that keep an answer out of caches, unless its handler sets others. A request by a signed URL has no
Authorization field, so a shared cache could store its answer."""

_BLOCK: Final = 4096
"""Random bytes that are fetched at once."""


def clients_site(parts: Components, random: Callable[[int], bytes], counts: Counts | None) -> Site:
    """The HTTP server of the clients' port, with all that it serves.

    :param random: returns that number of random bytes, for the ids of requests.
    :param counts: counts requests, if they are counted.
    """
    in_force, reactor, now, store = parts.in_force, parts.reactor, parts.now, parts.store
    owners, policies, directory = parts.owners, parts.policies, parts.directory
    exchange, groups, draining = parts.exchange, parts.groups, parts.draining
    signatures = SignedURLs(owners.digests, owners.use, now, Buckets(reactor.seconds, MAX_RATES))
    ongoing = Ongoing(policies, reactor, exchange.as_it_is)
    gate = Gate(policies, parts.users.accepted, signatures, directory, parts.rate_limits, ongoing)
    cors = Cors(policies.origins)
    v1 = V1(directory, exchange, lambda: uuid.uuid4().hex)
    slices = TurnQueue(reactor)
    v2 = (
        V2Application(store, settle(in_force.settings), lambda: limits(in_force.settings), parts.pushes.may_be_made),
        V2Queues(directory, exchange),
        V2Messages(exchange, V2Stream(exchange, slices), slices, lambda: store.capabilities.survives_power_loss, now),
        V2Events(exchange, parts.live, now),
        V2Reads(parts.many),
        V2ManyEvents(parts.many, parts.live, now),
        V2Single(exchange, now),
        V2Restores(exchange, now, slices),
        V2Groups(groups, now),
        V2Claims(groups, exchange),
        V2ManyClaims(groups, exchange),
        V2Settlements(groups),
        V2Moving(groups),
        V2Pushes(parts.pushes, now),
        V2PushActions(parts.pushes),
        V2Schedules(parts.schedules, now),
    )
    root = make_root(
        routes=(*v1.routes(), *api.routes(v2)),
        open_routes=(*api.open_routes(Description()), *sqs_api(parts, gate, slices).routes()),
        gate=gate,
        cors=cors,
        store=store,
        errors=ErrorAnswers(lambda: uuid.uuid4().hex, EventsForErrors(parts.live.random).answer),
        draining=lambda: draining.on,
    )

    def before_head(request: Request) -> None:
        second = problems.is_v2(request.path)
        request.added = _UNCACHED
        cors.add_headers(request, second)
        if request.use is not None:
            rates.add_headers(request)

    def refused(request: Request | None, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        if counts is not None:
            counts.refused(None if request is None else request.application, code_of(refusal))
        return render(request, refusal)

    def streams(request: Request) -> bool:
        allow_body(request)
        return stream.wants(request)

    return Site(
        resource=root,
        limits=limits(in_force.settings),
        reactor=reactor,
        now=now,
        new_id=request_ids(random).__next__,
        forwarded=in_force.settings.server.forwarded,
        access=parts.access,
        render=refused,
        before_head=before_head,
        streams=streams,
        counts=counts,
        traces=parts.traces,
        turn=parts.turn,
        look=root.look,
    )


def sqs_api(parts: Components, gate: Gate, slices: TurnQueue) -> SqsApi:
    """The API of SQS.

    :param slices: gives turns to forms that are decoded in parts.
    """
    owners, exchange, groups, now = parts.owners, parts.exchange, parts.groups, parts.now
    settings = parts.in_force.settings.sqs
    everyone = settings.everyone
    signatures: IAwsSignatures = (
        AwsSignatures(owners.of_id, owners.digests, owners.use, now)
        if everyone is None
        else UncheckedAwsSignatures(everyone)
    )
    sqs_gate = SqsGate(gate, signatures, exchange)
    states = SqsQueues(parts.store.states, parts.directory.retries, parts.reactor.seconds, os.urandom)
    administration = SqsAdministration(parts.directory, exchange, groups, states, now, settings.url)
    moves = SqsMoves(exchange, parts.directory, groups, states, parts.reactor, now)
    return SqsApi(
        gate=sqs_gate,
        administration=administration,
        sending=SqsSending(exchange, states),
        receiving=SqsReceiving(sqs_gate, groups, states, parts.reactor, now),
        settling=SqsSettling(groups, states, parts.removals),
        moving=SqsMoving(
            gate=sqs_gate,
            directory=parts.directory,
            administration=administration,
            states=states,
            moves=moves,
            now=now,
            new_id=lambda: uuid.uuid4().hex,
        ),
        permissions=SqsPermissions(states),
        turns=slices,
    )


def request_ids(random: Callable[[int], bytes]) -> Iterator[str]:
    """An id for each request: 128 random bits. They are fetched in blocks, since that takes a call of the kernel."""
    while True:
        digits = random(_BLOCK).hex()
        for at in range(0, len(digits), 32):
            yield digits[at : at + 32]


def settle(settings: Settings) -> float:
    """Seconds for which messages of a strong queue wait until readers of a range see them."""
    storage = settings.storage
    if not isinstance(storage, CassandraStorage):
        return 0.0
    wait = storage.write_timeout + storage.clock_skew if storage.frontends == "many" else 0.0
    return wait + storage.base_delay


def live_times(settings: Settings) -> LiveTimes:
    """The times of live reads."""
    server = settings.server
    return LiveTimes(server.live_time, server.live_heartbeat, server.idle_timeout)


def limits(settings: Settings) -> Limits:
    """Return the limits of the HTTP server."""
    server = settings.server
    return Limits(
        max_body=server.max_body,
        max_header=server.max_header,
        header_timeout=server.header_timeout,
        request_timeout=server.request_timeout,
        idle_timeout=server.idle_timeout,
        max_connections=server.max_connections,
    )
