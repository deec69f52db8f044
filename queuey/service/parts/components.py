"""The parts of a daemon that both of its HTTP servers are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from queuey.auth.users import Users
from queuey.core.applications.owners import KeyOwners
from queuey.core.groups.exchange import GroupExchange
from queuey.core.live.reads import LiveReads
from queuey.core.many.reading import ManyReader
from queuey.core.messages import MessageExchange
from queuey.core.policies import Policies
from queuey.core.pushes.directory import PushDirectory
from queuey.core.queues import QueueDirectory
from queuey.core.rates import RateLimits
from queuey.core.schedules.directory import ScheduleDirectory
from queuey.http.connection.sending import Turn
from queuey.http.sqs.removals import Removals
from queuey.http.wire import AccessLine
from queuey.interfaces import IStore, ITraces
from queuey.logs import LogObserver
from queuey.ops.draining import Draining
from queuey.service.parts.in_force import InForce


@attrs.frozen(kw_only=True)
class Components:
    """The parts, by name.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar owners: finds the application of a key.
    :ivar users: finds out who a caller is.
    :ivar traces: exports spans of requests, if that is asked for.
    :ivar access: writes the access line of each request.
    :ivar turn: runs functions at the end of the reactor's turn.
    """

    in_force: InForce
    reactor: Any
    now: Callable[[], float]
    store: IStore
    log: LogObserver
    owners: KeyOwners
    policies: Policies
    users: Users
    directory: QueueDirectory
    exchange: MessageExchange
    removals: Removals
    many: ManyReader
    groups: GroupExchange
    pushes: PushDirectory
    schedules: ScheduleDirectory
    rate_limits: RateLimits
    live: LiveReads
    draining: Draining
    traces: ITraces | None
    access: Callable[[AccessLine], None]
    turn: Turn
