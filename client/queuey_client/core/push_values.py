"""What is known of pushes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from queuey_client.core.parsing import time_of


@dataclass(frozen=True)
class PushInfo:
    """A push's settings, and what it does.

    :ivar state: ``active``, ``failing``, ``paused`` or ``blocked``.
    :ivar since: since when it is failing or paused; ``None`` if it is neither.
    :ivar failures: attempts in a row that failed.
    :ivar last_error: how the last attempt failed; ``None`` if it did not.
    :ivar blocked: why the server's settings do not allow it to send; ``None`` if they do.
    :ivar secret: that signs its requests, in the answer that created the push and no other: keep it.
    :ivar document: all that the server said.
    """

    name: str
    url: str
    state: str
    since: datetime | None
    failures: int
    last_error: str | None
    blocked: str | None
    version: str
    secret: str | None = field(repr=False)
    document: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class PushAttempt:
    """One request of a push.

    :ivar id: of the message, as ``webhook-id`` has it.
    :ivar deliveries: of the message, this one included.
    :ivar status: of the answer; ``None`` if there was none.
    :ivar error: a word for what went wrong; ``None`` if the endpoint took the message.
    """

    time: datetime
    id: str
    deliveries: int
    status: int | None
    milliseconds: int
    error: str | None


@dataclass(frozen=True)
class PushTest:
    """What became of a test message.

    :ivar status: of the answer; ``None`` if there was none.
    :ivar error: a word for what went wrong; ``None`` if the endpoint took the message.
    :ivar reason: the error with the beginning of the answer; ``None`` without an error.
    """

    status: int | None
    milliseconds: int
    error: str | None
    reason: str | None


@dataclass(frozen=True)
class PushSecret:
    """A new secret, whose text is shown this once.

    :ivar id: removes it.
    """

    id: str
    secret: str = field(repr=False)


def push_info(document: Mapping[str, Any]) -> PushInfo:
    """Read a push."""
    since = document["since"]
    new = [each["secret"] for each in document["secrets"] if "secret" in each]
    return PushInfo(
        name=document["name"],
        url=document["url"],
        state=document["state"],
        since=None if since is None else time_of(since),
        failures=document["failures"],
        last_error=document["last_error"],
        blocked=document["blocked"],
        version=document["version"],
        secret=new[0] if new else None,
        document=document,
    )


def push_attempt(document: Mapping[str, Any]) -> PushAttempt:
    """Read an attempt."""
    return PushAttempt(
        time_of(document["time"]),
        document["id"],
        document["deliveries"],
        document["status"],
        document["milliseconds"],
        document["error"],
    )


def push_test(document: Mapping[str, Any]) -> PushTest:
    """Read what became of a test message."""
    return PushTest(document["status"], document["milliseconds"], document["error"], document["reason"])


def push_secret(document: Mapping[str, Any]) -> PushSecret:
    """Read a new secret."""
    return PushSecret(document["id"], document["secret"])
