"""Translates exceptions of Thrift and of its connections into the errors of this package and of Queuey.

``applied`` of an error is ``"no"`` only if the request has certainly not changed anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from thriftpy2.thrift import TApplicationException

from queuey.errors import QueueyError, Unavailable
from queuey.storage.cassandra.cluster.port import AccessRefused, Kind, StatementRefused, TooLarge
from queuey.storage.cassandra.cluster.thrift.calls import Garbled, api
from queuey.storage.cassandra.cluster.thrift.wire import Lost

_FORGOTTEN: Final = "Prepared query with ID"
_NO_LOGIN: Final = "You have not logged in"
_NO_RIGHT: Final = ("has no ", "is not authorized", _NO_LOGIN)
_TOO_LARGE: Final = ("batch too large", "oversized", "larger than allowed", "exceed the allowed", "exceeds")
_NOT_NOW: Final = "Unable to perform"
"""Of a node that cannot ask the others for the passwords."""


@attrs.frozen
class RequestTraits:
    """The properties of a request that decide about its error.

    :ivar logged: whether it is a logged batch.
    :ivar size: bytes of its values.
    :ivar limit: how many that may be.
    """

    kind: Kind
    logged: bool
    size: int
    limit: int

    @property
    def repeatable(self) -> bool:
        """Whether the request can be sent twice without changing anything more."""
        return self.kind in (Kind.READ, Kind.WRITE)


def is_unprepared(error: BaseException) -> bool:
    """Whether a node does not know a prepared statement, as after its restart. The statement was not executed then."""
    return isinstance(error, api.InvalidRequestException) and _FORGOTTEN in error.why


def retries(error: BaseException) -> int:
    """Return how many more nodes may be tried after this error, if the request is repeatable."""
    if isinstance(error, Lost | Garbled | TApplicationException):
        return 2
    return 1 if isinstance(error, api.TimedOutException | api.UnavailableException) else 0


def surely_not_applied(error: BaseException, kind: Kind) -> bool:
    """Whether the request has certainly not been applied when it fails with this error."""
    if kind is Kind.READ:
        return True
    if isinstance(error, Lost):
        return not error.sent
    if isinstance(error, api.UnavailableException):
        # Replicas are counted before anything is sent. But a transaction that was accepted may find too few to commit
        # it, and will be applied; errors of Thrift do not distinguish that.
        return kind is not Kind.TRANSACTION
    return isinstance(error, api.InvalidRequestException | api.AuthorizationException | api.AuthenticationException)


def of_request(error: Exception, asked: RequestTraits, unsure: bool) -> Exception:
    """Return the error for a failed request.

    :param unsure: whether an attempt may have been applied, this one or one before it.
    """
    if isinstance(error, (QueueyError, StatementRefused, AccessRefused)):
        return error
    text = error_text(error)
    if isinstance(error, api.AuthorizationException | api.AuthenticationException):
        return AccessRefused(f"Cassandra does not let us do this: {text}")
    if isinstance(error, api.InvalidRequestException) and not is_unprepared(error):
        if any(part in text for part in _NO_RIGHT):
            return AccessRefused(f"Cassandra does not let us do this: {text}")
        if any(part in text.lower() for part in _TOO_LARGE):
            return TooLarge(f"Cassandra does not take so much at once: {text}", asked.size, asked.limit)
        return StatementRefused(text)
    return Unavailable(f"Cassandra: {text}", applied="unknown" if unsure else "no")


def of_connecting(causes: Mapping[str, Exception], tls: tuple[type[BaseException], ...]) -> Exception:
    """Return the error for a failed attempt to reach the cluster.

    :param causes: what went wrong, by node.
    :param tls: the errors of TLS.
    """
    refusals = [_refusal(where, cause, tls) for where, cause in causes.items()]
    # While one node may still let us in, it is of use to try again.
    if refusals and None not in refusals:
        return AccessRefused(next(text for text in refusals if text is not None))
    found = "; ".join(f"{where}: {error_text(cause)}" for where, cause in causes.items())
    return Unavailable(f"Cassandra does not answer: {found}")


def _refusal(where: str, error: Exception, tls: tuple[type[BaseException], ...]) -> str | None:
    """Return why a node will never accept us; ``None`` if it may later."""
    if isinstance(error, api.InvalidRequestException) and _NO_LOGIN in error.why:
        return f"Cassandra at {where} asks for a username and a password, and none are set."
    if isinstance(error, api.AuthenticationException):
        return None if _NOT_NOW in error.why else f"Cassandra at {where} refuses this username and password."
    if isinstance(error, api.InvalidRequestException | api.AuthorizationException):
        return f"Cassandra at {where} does not let us in: {error.why}"
    if isinstance(error, Lost) and isinstance(error.cause, tls):
        return f"Cassandra at {where} and we do not come to terms over TLS: {error.cause}"
    if isinstance(error, Garbled):
        return f"What listens at {where} does not speak framed Thrift, or speaks it over TLS alone."
    return None


def error_text(error: BaseException) -> str:
    """Return the text of an error, on one line."""
    if isinstance(error, api.TimedOutException):
        return "the replicas did not answer in time"
    if isinstance(error, api.UnavailableException):
        return "too few replicas are up"
    if isinstance(error, api.SchemaDisagreementException):
        return "the nodes do not agree on the schema"
    if isinstance(error, TApplicationException):
        return f"an error of the node: {error.message}"
    text = getattr(error, "why", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
