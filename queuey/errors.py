"""Every failure that one package reports to another.

This module does not know HTTP; ``queuey.http.answers.errors`` alone turns an error into a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class QueueyError(Exception):
    """The base of all errors of this package.

    :ivar text: one sentence for the client.
    :ivar applied: whether the change asked for was stored: ``"no"``, ``"yes"``, ``"partly"`` or ``"unknown"``.
    """

    applied: str = "no"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def but(self, applied: str) -> Self:
        """Make the same error with another ``applied``: this one may be the answer to other requests too."""
        found = type(self).__new__(type(self), *self.args)
        found.__dict__.update(self.__dict__)
        found.applied = applied
        return found

    def after(self, applied: str) -> Self:
        """Return this error as that of a request that had stored something before: with this ``applied``, unless the
        error says itself that something was, or may be, stored."""
        return self.but(applied) if self.applied == "no" != applied else self


class ConfigurationError(QueueyError):
    """The settings cannot be used; ``problems`` has one line for each mistake."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidRequest(QueueyError):
    """The request itself is wrong; ``problems`` names each parameter and what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


class InvalidUpdate(QueueyError):
    """A queue cannot be changed in the way that was asked for."""


class BodyTooLarge(QueueyError):
    """A body is over the limit of its application, or more than the store takes at once.

    :ivar limit: which one: ``"max_body"``, ``"storage"``, ``"message_burst"`` or ``"queue_message_burst"``.
    """

    def __init__(self, text: str, *, limit: str = "max_body") -> None:
        super().__init__(text)
        self.limit = limit


class NoSuchApplication(QueueyError):
    """No application of that name is configured."""


class NoSuchQueue(QueueyError):
    """The application has no queue of that name, or the queue was deleted meanwhile.

    :ivar possible: whether a queue of that name can be made.
    """

    def __init__(self, text: str, *, possible: bool = True) -> None:
        super().__init__(text)
        self.possible = possible


class BadCredentials(QueueyError):
    """Credentials were given, and they are false."""


class BadIdentity(BadCredentials):
    """A credential of a user, or the signature of a URL, is false."""


class BadSignature(BadCredentials):
    """The signature of a request by an AWS client is missing or false.

    :ivar code: the name of the error in AWS's APIs.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Forbidden(QueueyError):
    """The caller is known, or anonymous, and may not do this."""


class NeedsCredentials(Forbidden):
    """The caller is anonymous, and may not do this."""


class NoSuchGroup(QueueyError):
    """The queue has no consumer group of that name, or the group was deleted meanwhile."""


class QueueClosed(QueueyError):
    """The queue is closed: no message is stored in it any more."""


class NoSuchPush(QueueyError):
    """The group of that name has no push, or the push no such secret."""


class NoSuchSchedule(QueueyError):
    """The queue has no schedule of that name."""


class NoSuchMessage(QueueyError):
    """The queue has no message of that id."""


class PreconditionFailed(QueueyError):
    """The precondition of a request does not hold."""


class IdOutOfRange(QueueyError):
    """A new message cannot have the id that its sender chose."""


class KeyReused(QueueyError):
    """The Idempotency-Key was used before, for another request."""


class KeyInUse(QueueyError):
    """The request that has this Idempotency-Key is under way.

    :ivar retry_after: seconds after which a retry makes sense.
    """

    def __init__(self, text: str, *, retry_after: int = 1) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NotPromised(QueueyError):
    """This store or queue cannot keep the promise that was asked for."""


class BadCursor(QueueyError):
    """A cursor is damaged, or was not made by Queuey."""


class CursorMismatch(QueueyError):
    """A cursor belongs to a read with another order or other partitions."""


class TooManyQueues(QueueyError):
    """A read of many queues would have to look at more of them than it may."""


class QueueReplaced(QueueyError):
    """A cursor is of an earlier incarnation of the queue.

    :ivar oldest: a cursor to go on from in the present one.
    """

    def __init__(self, text: str, oldest: str) -> None:
        super().__init__(text)
        self.oldest = oldest


class Conflict(QueueyError):
    """Another client has changed it in between."""


class AlreadyThere(Conflict):
    """The thing to be created exists already, so the same request fails again."""


class StorageFull(QueueyError):
    """There is no room: the disk, the memory bound, or a limit of the application or the queue is reached.

    :ivar limit: which one: ``"storage"``, the application's ``"max_queues"``, ``"max_bytes"`` or ``"max_messages"``, or
        the queue's ``"max_queue_bytes"``, ``"max_queue_messages"`` or ``"max_groups"``.
    """

    def __init__(self, text: str, *, limit: str = "storage") -> None:
        super().__init__(text)
        self.limit = limit


class Unavailable(QueueyError):
    """Storage does not answer, or not in time.

    :ivar retry_after: seconds after which a retry makes sense.
    """

    def __init__(self, text: str, *, applied: str = "no", retry_after: int = 1) -> None:
        super().__init__(text)
        self.applied = applied
        self.retry_after = retry_after


class DataInUse(Unavailable):
    """Another process serves the data folder."""


class IdentityUnavailable(Unavailable):
    """The service that verifies a user's credentials does not answer, or not in time."""


class TooManyRequests(QueueyError):
    """More was asked for than may be asked in that time.

    :ivar retry_after: seconds after which a retry makes sense.
    :ivar limit: which one was met.
    """

    def __init__(self, text: str, *, limit: str, retry_after: int = 1) -> None:
        super().__init__(text)
        self.limit = limit
        self.retry_after = retry_after
