"""Translates the errors of the CQL driver into errors of this package or of Queuey; no other module does.

``applied`` is ``"no"`` only if that is certain. A request may have been sent to several nodes one after another, so
:class:`Attempts` remembers whether any of them may have done it.
"""

from __future__ import annotations

from typing import Any, Final

import cassandra
from cassandra import ConsistencyLevel, UnresolvableContactPoints
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ProtocolVersionUnsupported
from cassandra.policies import RetryPolicy
from cassandra.protocol import (
    ConfigurationException,
    ErrorMessage,
    InvalidRequestException,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ProtocolException,
    SyntaxException,
    UnauthorizedErrorMessage,
)

from queuey.errors import QueueyError, Unavailable
from queuey.storage.cassandra.cluster.cql.connection import LoginRefused
from queuey.storage.cassandra.cluster.port import AccessRefused, Kind, StatementRefused, TooLarge

CAS_UNKNOWN: Final = 0x1700
"""The code of an error that the driver does not know: a lightweight transaction that may come to be applied."""

Decision = tuple[int, Any]


class Attempts(RetryPolicy):  # type: ignore[misc]
    """Decides whether and on which node one request is retried at once, and remembers whether its outcome is unknown.

    The driver's own policy sends a write again to the next node whatever it is. One of these serves one request. It
    names no level for a further attempt: that in an error is the level of the step that failed, such as ONE of the log
    of a batch, and the driver would send the whole request again at that.

    :ivar unsure: whether an attempt that was sent may have been applied although it failed.
    """

    def __init__(self, kind: Kind, logged: bool, again: bool) -> None:
        """
        :param logged: whether it is a logged batch.
        :param again: whether it may be tried a second time at all.
        """
        self.kind = kind
        self.logged = logged
        self.unsure = False
        self._again = again

    def last(self) -> None:
        """Begin no further attempt: the caller has gone."""
        self._again = False

    @property
    def _repeatable(self) -> bool:
        return self._again and self.kind in (Kind.READ, Kind.WRITE)

    def on_read_timeout(
        self,
        query: object,
        consistency: int,
        required_responses: int,
        received_responses: int,
        data_retrieved: bool,
        retry_num: int,
    ) -> Decision:
        """Enough replicas answered, but not the one that was to send the data: another one will."""
        self._note(cassandra.ReadTimeout("", consistency=consistency))
        if self._repeatable and retry_num == 0 and received_responses >= required_responses and not data_retrieved:
            return self.RETRY, None
        return self.RETHROW, None

    def on_write_timeout(
        self,
        query: object,
        consistency: int,
        write_type: int,
        required_responses: int,
        received_responses: int,
        retry_num: int,
    ) -> Decision:
        """Retry, if repeating the request has no further effect."""
        self.unsure = self.unsure or self.kind is not Kind.READ
        return (self.RETRY, None) if self._repeatable and retry_num == 0 else (self.RETHROW, None)

    def on_unavailable(
        self, query: object, consistency: int, required_replicas: int, alive_replicas: int, retry_num: int
    ) -> Decision:
        """The next node may see more replicas up; but no transaction is begun a second time."""
        self._note(cassandra.Unavailable("", consistency=consistency))
        return (self.RETRY_NEXT_HOST, None) if self._repeatable and retry_num == 0 else (self.RETHROW, None)

    def on_request_error(self, query: object, consistency: int, error: Exception, retry_num: int) -> Decision:
        """The node failed, or the connection to it did: up to two others may do better."""
        self._note(error)
        return (self.RETRY_NEXT_HOST, None) if self._repeatable and retry_num < 2 else (self.RETHROW, None)

    def _note(self, error: Exception) -> None:
        self.unsure = self.unsure or not surely_not(error, self.kind, self.logged)


def surely_not(error: BaseException, kind: Kind, logged: bool) -> bool:
    """Whether it is certain that this error came before anything was changed."""
    if kind is Kind.READ:
        return True
    if isinstance(error, cassandra.Unavailable):
        # Replicas are counted before anything is sent. But an accepted transaction may find too few to commit it at
        # QUORUM, and will be applied: with Paxos v1 that comes as the same error, with the level of the commit in it.
        return kind is not Kind.TRANSACTION or ConsistencyLevel.is_serial(error.consistency)
    if isinstance(error, OverloadedErrorMessage):
        # Refused on arrival, or for too many hints before a mutation is sent. What consists of several steps may have
        # done the first ones: the log of a batch, the agreement of a transaction.
        return kind is Kind.WRITE and not logged
    # NoHostAvailable means only that no node is left to ask; Attempts knows what was sent before.
    return isinstance(
        error,
        NoHostAvailable
        | IsBootstrappingErrorMessage
        | InvalidRequestException
        | SyntaxException
        | ConfigurationException
        | UnauthorizedErrorMessage
        | cassandra.RequestValidationException,
    )


def of_request(error: BaseException, attempts: Attempts, size: int, limit: int) -> Exception:
    """Return the error for a failed request.

    :param size: bytes of its values.
    :param limit: how many that may be.
    """
    if isinstance(error, (QueueyError, StatementRefused, AccessRefused)):
        return error
    if isinstance(error, (UnauthorizedErrorMessage, cassandra.Unauthorized)):
        return AccessRefused(f"Cassandra does not let us do this: {_said(error)}")
    if _is_too_large(error):
        return TooLarge(f"Cassandra does not take so much at once: {_said(error)}", size, limit)
    if isinstance(
        error,
        InvalidRequestException | SyntaxException | ConfigurationException | cassandra.RequestValidationException,
    ):
        return StatementRefused(_said(error))
    unsure = attempts.unsure or not surely_not(error, attempts.kind, attempts.logged)
    return Unavailable(f"Cassandra: {_said(error)}", applied="unknown" if unsure else "no")


def _is_too_large(error: BaseException) -> bool:
    text = str(error).lower()
    refused = isinstance(error, InvalidRequestException | ProtocolException | cassandra.InvalidRequest | ErrorMessage)
    return refused and any(word in text for word in ("batch too large", "oversized", "exceeds allowed maximum"))


def of_connecting(error: BaseException, tls: tuple[type[BaseException], ...]) -> Exception:
    """Return the error for a failed attempt to reach the cluster.

    :param tls: the errors of TLS.
    """
    if isinstance(error, (QueueyError, AccessRefused)):
        return error
    if isinstance(error, UnresolvableContactPoints):
        return Unavailable("No host of this name is known; [storage] host is to name the nodes of Cassandra.")
    causes = list(error.errors.items()) if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else []
    if not causes:
        return Unavailable(f"Cassandra does not answer: {error}")
    refusals = [_refusal(where, cause, tls) for where, cause in causes]
    # While one node may still let us in, it is of use to try again.
    if None not in refusals:
        return AccessRefused(next(text for text in refusals if text is not None))
    said = "; ".join(f"{where}: {_said(cause)}" for where, cause in causes)
    return Unavailable(f"Cassandra does not answer: {said}")


def _refusal(where: str, cause: BaseException, tls: tuple[type[BaseException], ...]) -> str | None:
    """Return why a node will never accept us; ``None`` if it may later."""
    text = str(cause)
    if isinstance(cause, LoginRefused):
        if "requires authentication" in text:
            return f"Cassandra at {where} asks for a username and a password, and none are set."
        # A node that cannot read the passwords from other nodes reports this; it may be able to soon.
        return None if "Unable to perform" in text else f"Cassandra at {where} refuses this username and password."
    if isinstance(cause, tls):
        return f"Cassandra at {where} and we do not come to terms over TLS: {_said(cause)}"
    if isinstance(cause, ProtocolException | ProtocolVersionUnsupported) or "protocol_version" in text:
        return f"Cassandra at {where} does not speak the version of CQL's protocol that is set."
    return None


def _said(error: BaseException) -> str:
    """Return the text of an error, on one line."""
    if isinstance(error, ErrorMessage):
        return f"{error.summary}: {error.message}" if error.code != CAS_UNKNOWN else f"unknown outcome: {error.message}"
    if isinstance(error, NoHostAvailable):
        causes = error.errors.values() if isinstance(error.errors, dict) else ()
        found = "; ".join(sorted({_said(cause) for cause in causes}))
        return f"no node can be asked ({found})" if found else "no node is up"
    if isinstance(error, cassandra.OperationTimedOut):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__
