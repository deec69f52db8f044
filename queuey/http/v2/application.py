"""The promises to an application, and the limits of its clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from queuey.core.many.reading import MAX_QUEUES_UNKNOWN
from queuey.http.admission.gate import Admitted
from queuey.http.answers.encoding import json_line
from queuey.http.inputs.json_size import MAX_VALUES
from queuey.http.routes import Route
from queuey.http.v2.groups.settlements import MAX_RECEIPTS
from queuey.http.v2.inputs.items import MAX_HEADERS, MAX_KEY
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.messages.appends import MAX_MESSAGES
from queuey.http.v2.representations.addresses import consistency_word
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Limits, Request
from queuey.interfaces import AHEAD, Capabilities, IStore
from queuey.model import fields
from queuey.model.applications.access import Operation
from queuey.model.applications.policy import Policy
from queuey.model.applications.rates import Rates
from queuey.model.groups.entries import MAX_CLAIMS, MAX_REASON
from queuey.model.groups.settings import MAX_GROUP_NAME
from queuey.model.messages.message import MAX_DELAY, MAX_MESSAGE_KEY
from queuey.model.queues.queue import MAX_NAME, MAX_PRINCIPAL, MAX_PRINCIPALS
from queuey.model.reading.many import MAX_QUEUES
from queuey.model.timeid import SECOND

APPLICATION: Final = "/v2/<application>"

_OF_EVERY_APPLICATION: Final = {
    "max_batch": MAX_MESSAGES,
    "max_values": MAX_VALUES,
    "max_limit": fields.LIMIT.high,
    "max_page_bytes": fields.MAX_BYTES.high,
    "max_wait": int(fields.WAIT.high),
    "max_delay": MAX_DELAY,
    "max_ttl": fields.TTL.high,
    "max_key": MAX_KEY,
    "max_headers": MAX_HEADERS,
    "max_message_key": MAX_MESSAGE_KEY,
    "max_name": MAX_NAME,
    "max_partitions": fields.PARTITIONS.high,
    "max_principals": MAX_PRINCIPALS,
    "max_principal": MAX_PRINCIPAL,
    "max_ahead": AHEAD / SECOND,
    "max_group_name": MAX_GROUP_NAME,
    "max_lease": fields.LEASE.high,
    "max_deliveries": fields.MAX_DELIVERIES.high,
    "max_in_flight": fields.MAX_IN_FLIGHT.high,
    "max_keyed_claims": MAX_CLAIMS,
    "max_receipts": MAX_RECEIPTS,
    "max_reason": MAX_REASON,
}
"""Limits that no setting changes; times are in seconds."""

_FEATURES: Final = ("batches", "cursors", "delays", "live", "many", "ndjson", "ranges", "waits")
_ONCE: Final = "idempotency-keys"
_GROUPS: Final = "groups"


@attrs.frozen
class V2Application:
    """Shows clients the guarantees and limits of an application.

    :ivar settle: seconds for which messages wait until readers of a range see them.
    :ivar limits: those of the door, as they are now.
    :ivar may_push: returns whether an application may make pushes now.
    """

    store: IStore
    settle: float
    limits: Callable[[], Limits]
    may_push: Callable[[Policy], bool]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("GET", APPLICATION, Operation.DESCRIBE, self.show),)

    async def show(self, request: Request, admitted: Admitted) -> None:
        """Features, promises and limits, as they are for this application now."""
        Query(request, ()).check()
        request.answer(200, HEAD, json_line(self._document(admitted.policy, self.store.capabilities)))

    def _document(self, policy: Policy, capabilities: Capabilities) -> dict[str, Any]:
        return {
            "name": policy.application,
            "features": _features(capabilities, self.may_push(policy)),
            "guarantee": policy.guarantee.value,
            "consistency": consistency_word(policy.consistency),
            "create_queues": "on-write" if policy.create_on_write else "explicit",
            "durable": capabilities.survives_power_loss,
            "durability": capabilities.durable,
            "not_once": capabilities.not_once or None,
            "no_groups": capabilities.no_groups or None,
            "ttl": policy.ttl,
            "idempotency_ttl": policy.idempotency_ttl,
            "settle": self.settle,
            "rate_scope": "process",
            "limits": {**_OF_EVERY_APPLICATION, **self._own_limits(policy)},
        }

    def _own_limits(self, policy: Policy) -> dict[str, Any]:
        """Return the limits of the settings; ``None`` is no limit."""
        door = self.limits()
        return {
            "max_body": policy.max_body,
            "max_queues": policy.max_queues,
            "max_bytes": policy.max_bytes,
            "max_messages": policy.max_messages,
            "max_queue_bytes": policy.max_queue_bytes,
            "max_queue_messages": policy.max_queue_messages,
            "max_groups": fields.MAX_GROUPS.high if policy.max_groups is None else policy.max_groups,
            "max_live_queues": MAX_QUEUES if self.store.capabilities.knows_changes else MAX_QUEUES_UNKNOWN,
            "max_waits": policy.max_waits,
            "max_queue_waits": policy.max_queue_waits,
            "max_live": policy.max_live,
            "max_queue_live": policy.max_queue_live,
            **_rates("", policy.rates),
            **_rates("queue_", policy.queue_rates),
            "max_header": door.max_header,
            "max_connections": door.max_connections,
            "request_timeout": door.request_timeout,
            "idle_timeout": door.idle_timeout,
        }


def _features(capabilities: Capabilities, pushes: bool) -> list[str]:
    """Return the features that this store supports, and the settings of the application allow."""
    once, groups = not capabilities.not_once, not capabilities.no_groups
    perhaps = {_ONCE: once, "schedules": once, _GROUPS: groups, "pushes": groups and pushes}
    return sorted([*_FEATURES, *(name for name, there in perhaps.items() if there)])


def _rates(prefix: str, rates: Rates | None) -> dict[str, Any]:
    """Rates by their names, with their bursts."""
    rates = rates or Rates(None, None)
    found: dict[str, Any] = {}
    for name, rate in (("request", rates.requests), ("message", rates.messages)):
        found[f"{prefix}{name}_rate"] = None if rate is None else rate.per_second
        found[f"{prefix}{name}_burst"] = None if rate is None else rate.burst
    return found
