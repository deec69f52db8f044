"""Errors as answers: the one place that turns a word into a status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from queuey import errors
from queuey.http.wire import BrokenBody, Request
from queuey.http.writing import answer
from queuey.logs import EventLog

_log = EventLog(Logger(namespace="queuey.http"))

STATUS: Final[dict[type[errors.QueueyError], tuple[int, str]]] = {
    errors.InvalidRequest: (400, ""),
    errors.InvalidUpdate: (400, "InvalidUpdate"),
    errors.BadCredentials: (401, "InvalidApplicationKey"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NoSuchApplication: (404, "InvalidApplication"),
    errors.NoSuchQueue: (404, "InvalidQueueName"),
    errors.BodyTooLarge: (413, "RequestTooLarge"),
    errors.Unavailable: (503, "storage"),
    errors.StorageFull: (507, "storage-full"),
}
"""The status of each error, and the key that stands for it in ``error_msg``; an InvalidRequest has keys of its own."""


@attrs.frozen
class ErrorAnswers:
    """Answers requests whose handlers failed.

    :ivar incident_id: makes the id by which an unforeseen error is found in the log.
    """

    incident_id: Callable[[], str]

    def install(self, app: Klein) -> None:
        """Handle every error of a Klein app; sub-apps do not inherit that, so each app needs it."""
        app.handle_errors(Exception)(lambda request, failure: self.answer(request, failure))

    def answer(self, request: Request, failure: Failure) -> None:
        """Answer a request whose handler failed; nothing is to be done for one whose client has gone."""
        error = failure.value
        if isinstance(error, errors.QueueyError):
            self.known(request, error)
        elif isinstance(error, HTTPException):
            self.unrouted(request, error)
        elif isinstance(error, BrokenBody):
            request.refuse(error.refusal)
        elif not (request.gone and isinstance(error, CancelledError)):
            self.unforeseen(request, failure)

    def known(self, request: Request, error: errors.QueueyError) -> None:
        """Answer an error that has a word."""
        if _cut(request):
            return
        status, key = STATUS[next(kind for kind in type(error).__mro__ if kind in STATUS)]
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(error, errors.Unavailable):
            headers = ((b"Retry-After", b"%d" % error.retry_after),)
        elif isinstance(error, errors.BadCredentials):
            headers = ((b"WWW-Authenticate", b"Application"),)
        if status >= 500:
            _log.warn(
                "refused",
                "{status} for request {request_id}: {text} (applied: {applied})",
                status=status,
                request_id=request.request_id,
                text=error.text,
                applied=error.applied,
            )
        problems = error.problems if isinstance(error, errors.InvalidRequest) else {key: error.text}
        refuse(request, status, problems, *headers)

    def unrouted(self, request: Request, error: HTTPException) -> None:
        """Answer a path or a method that no route has."""
        if isinstance(error, MethodNotAllowed):
            allow = ", ".join(sorted(error.valid_methods or ()))
            text = f"This path takes {allow}."
            refuse(request, 405, {"MethodNotAllowed": text}, (b"Allow", allow.encode("ascii")))
        else:
            refuse(request, 404, {"NotFound": "There is nothing at this path."})

    def unforeseen(self, request: Request, failure: Failure) -> None:
        """Answer a defect of ours: an incident id that finds the log entry, and no detail."""
        incident = self.incident_id()
        _log.failure(
            "incident",
            "incident {incident} in request {request_id}",
            failure,
            incident=incident,
            request_id=request.request_id,
        )
        if not _cut(request):
            refuse(request, 500, {"error": f"Something went wrong here; the log has it as incident {incident}."})


def refuse(request: Request, status: int, problems: dict[str, str], *headers: tuple[bytes, bytes]) -> None:
    """Write a whole answer that says what was wrong."""
    answer(request, status, {"status": "error", "error_msg": problems}, *headers)


def _cut(request: Request) -> bool:
    """End an answer that has begun, so that its client sees that it is not whole; tell whether there was one."""
    if request.startedWriting:
        request.abort()
    return bool(request.startedWriting)
