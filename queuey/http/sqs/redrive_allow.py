"""``RedriveAllowPolicy``: the queues that may name a queue as their dead-letter queue."""

from __future__ import annotations

import json
from typing import Any, Final

from queuey.http.sqs.errors import SqsError

ATTRIBUTE: Final = "RedriveAllowPolicy"

MAX_SOURCES: Final = 10
"""Queues that a policy may name."""

_ALL: Final = "allowAll"
_NONE: Final = "denyAll"
_NAMED: Final = "byQueue"


def check(text: str) -> None:
    """Check that a value is such a policy.

    :raise SqsError: saying so.
    """
    found = _document(text)
    permission, sources = found.get("redrivePermission"), found.get("sourceQueueArns")
    if set(found) - {"redrivePermission", "sourceQueueArns"} or permission not in (_ALL, _NONE, _NAMED):
        raise _bad()
    if permission != _NAMED and sources is not None:
        raise _bad()
    if permission == _NAMED and not (
        isinstance(sources, list)
        and 1 <= len(sources) <= MAX_SOURCES
        and all(isinstance(source, str) for source in sources)
    ):
        raise _bad()


def allows(text: str, source: str) -> bool:
    """Return whether a queue may use another one as its dead-letter queue.

    :param text: the policy of that queue, which was checked; empty for none.
    :param source: the ARN of the queue, without its region.
    """
    found = _document(text) if text else {}
    permission = found.get("redrivePermission", _ALL)
    return permission == _ALL or (permission == _NAMED and source in map(without_region, found["sourceQueueArns"]))


def without_region(arn: str) -> str:
    """Return the account and the name in an ARN: the region is ignored."""
    return ":".join(arn.split(":")[4:])


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _bad()
    return found


def _bad() -> SqsError:
    return SqsError("InvalidAttributeValue", f"Invalid value for the parameter {ATTRIBUTE}.")
