"""JSON for operators, with times as text."""

from __future__ import annotations

import time
from typing import Any

from queuey.core.applications.registry import Registry, Shown, ShownKey
from queuey.core.applications.stored import Change
from queuey.model.applications import members
from queuey.model.applications.application import Application
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import Depth
from queuey.model.timeid import to_rfc3339


def moment(seconds: float | None) -> str | None:
    """A time in seconds since 1970 in words, UTC; ``None`` stays so."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def application(shown: Shown) -> dict[str, Any]:
    """An application."""
    return {
        "name": shown.name,
        "source": shown.source,
        "policy": members.shown(shown.policy, limits=False),
        "limits": members.shown(shown.policy, limits=True),
        "keys": keys(shown),
        "made": moment(shown.made),
        "changed": moment(shown.changed),
        "revision": shown.revision,
    }


def depth(found: Depth) -> dict[str, Any]:
    """What a queue holds, with the names that the second API has for it."""
    oldest = None if found.oldest is None else to_rfc3339(found.oldest)
    return {"messages": found.messages, "bytes": found.bytes, "oldest": oldest, "approximate": found.approximate}


def keys(shown: Shown) -> list[dict[str, Any]]:
    """Return the keys of an application, without their secrets."""
    return [_key(key) for key in shown.keys]


def _key(key: ShownKey) -> dict[str, Any]:
    used = key.used
    if used is not None and key.made is not None:
        # Uses are noted by the minute, rounded down; no key was used before it was made.
        used = max(used, key.made)
    return {"id": key.id, "made": moment(key.made), "used_here": moment(used)}


def sides(change: Change) -> tuple[Any, Any]:
    """Return the state before a change and after it, for the log."""
    return _side(change.before), _side(change.after)


def _side(application: Application | None) -> Any:
    if application is None:
        return None
    return {
        "members": dict(application.members),
        "keys": [key.id for key in application.keys],
        "revision": application.revision,
    }


def message_id(address: Address) -> str:
    """Return the id of a message, as the second API shows it."""
    return f"{address.id.hex()}-{address.partition}"


def queue(found: Queue) -> dict[str, Any]:
    """A queue."""
    settings = found.settings
    return {
        "name": found.name,
        "type": settings.type.value,
        "partitions": settings.partitions,
        "consistency": settings.consistency.value,
        "guarantee": settings.guarantee.value if settings.guarantee else None,
        "principals": list(settings.principals),
        "ttl": settings.ttl,
        "closed": found.closed is not None,
        "created": to_rfc3339(found.created),
    }


def after(registry: Registry, change: Change) -> dict[str, Any]:
    """An application as a change left it."""
    assert change.after is not None
    return application(registry.shown(change.after))
