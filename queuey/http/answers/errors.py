"""Errors as answers: the one place that turns a word into a status, in the shape of the API that was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs
from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from queuey import errors
from queuey.http.answers import problems
from queuey.http.answers.encoding import JSON, encoded, json_line
from queuey.http.answers.problems import Problem
from queuey.http.sqs import errors as sqs
from queuey.http.wire import BrokenBody, Refusal, Request, render_refusal
from queuey.logs import EventLog

_log = EventLog(Logger(namespace="queuey.http"))

STATUS: Final[dict[type[errors.QueueyError], tuple[int, str]]] = {
    errors.InvalidRequest: (400, ""),
    errors.InvalidUpdate: (400, "InvalidUpdate"),
    errors.NotPromised: (400, "NotPromised"),
    errors.BadCredentials: (401, "InvalidApplicationKey"),
    errors.BadIdentity: (401, "InvalidCredentials"),
    errors.Forbidden: (403, "Forbidden"),
    errors.QueueClosed: (409, "QueueClosed"),
    errors.NoSuchApplication: (404, "InvalidApplication"),
    errors.NoSuchQueue: (404, "InvalidQueueName"),
    errors.BodyTooLarge: (413, "RequestTooLarge"),
    errors.TooManyRequests: (429, "TooManyRequests"),
    errors.Unavailable: (503, "storage"),
    errors.IdentityUnavailable: (503, "identity"),
    errors.StorageFull: (507, "storage-full"),
}
"""The answers of v1: the status of each error, and the key that stands for it in ``error_msg``.

An InvalidRequest has keys of its own.
"""


@attrs.frozen
class ErrorAnswers:
    """Answers requests whose handlers failed.

    :ivar incident_id: makes the id by which an unforeseen error is found in the log.
    :ivar softened: answers a problem in another way than with its status, if the request asks for that; returns whether
        it has.
    """

    incident_id: Callable[[], str]
    softened: Callable[[Request, Problem], bool] = lambda request, problem: False

    def install(self, app: Klein) -> None:
        """Handle every error of a Klein app; sub-apps do not inherit that, so each app needs it."""
        app.handle_errors(Exception)(lambda request, failure: self.answer(request, failure))

    def answer(self, request: Request, failure: Failure) -> None:
        """Answer a request whose handler failed, unless its client has gone."""
        error = failure.value
        if isinstance(error, CancelledError) and request.ended is not None:
            error = request.ended
        if sqs.wanted(request):
            self._sqs(request, failure, error)
        elif isinstance(error, Problem):
            self.problem(request, error)
        elif isinstance(error, errors.QueueyError):
            self.known(request, error)
        elif isinstance(error, HTTPException):
            self.unrouted(request, error)
        elif isinstance(error, BrokenBody):
            request.refuse(error.refusal)
        elif not (request.gone and isinstance(error, CancelledError)):
            self.unforeseen(request, failure)

    def _sqs(self, request: Request, failure: Failure, error: BaseException | None) -> None:
        """Answer in the shape of SQS."""
        if isinstance(error, BrokenBody):
            request.refuse(error.refusal)
            return
        if request.gone and isinstance(error, CancelledError):
            return
        known = sqs.of(error)
        if known is None:
            incident = self._incident(request, failure)
            known = sqs.SqsError("InternalFailure", f"The log has it as incident {incident}.")
        elif known.status >= 500 and isinstance(error, errors.QueueyError):
            log_refused(request, known.status, known.text, error.applied)
        if not _cut(request):
            request.count_refused(problems.of(error).code if isinstance(error, errors.QueueyError) else "sqs")
            sqs.answer(request, known)

    def problem(self, request: Request, problem: Problem) -> None:
        """Answer in the shape of v2."""
        if _cut(request):
            return
        if problem.status >= 500:
            log_refused(request, problem.status, problem.detail, problem.applied)
        request.count_refused(problem.code)
        if not self.softened(request, problem):
            problems.answer(request, problem)

    def known(self, request: Request, error: errors.QueueyError) -> None:
        """Answer an error that has a word."""
        if problems.wanted(request):
            self.problem(request, problems.with_advice(request, error))
            return
        if _cut(request):
            return
        status, key = STATUS[next(kind for kind in type(error).__mro__ if kind in STATUS)]
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(error, errors.Unavailable | errors.TooManyRequests):
            headers = ((b"Retry-After", b"%d" % error.retry_after),)
        elif isinstance(error, errors.BadCredentials):
            headers = ((b"WWW-Authenticate", request.challenge),)
        if status >= 500:
            log_refused(request, status, error.text, error.applied)
        request.count_refused(problems.of(error).code)
        found = error.problems if isinstance(error, errors.InvalidRequest) else {key: error.text}
        refuse(request, status, found, *headers)

    def unrouted(self, request: Request, error: HTTPException, text: str = "There is nothing at this path.") -> None:
        """Answer a path or a method that no route has.

        :param text: the explanation for the client.
        """
        headers: tuple[tuple[bytes, bytes], ...] = ()
        status, key, code = 404, "NotFound", "nothing-here"
        if isinstance(error, MethodNotAllowed):
            allow = ", ".join(sorted(error.valid_methods or ()))
            status, key, code, text = 405, "MethodNotAllowed", "method-not-allowed", f"This path takes {allow}."
            headers = ((b"Allow", allow.encode("ascii")),)
        request.count_refused(code)
        if problems.wanted(request):
            problems.answer(request, Problem(code, text, headers=headers))
        else:
            refuse(request, status, {key: text}, *headers)

    def _incident(self, request: Request, failure: Failure) -> str:
        """Log a defect of ours, and return the id that finds the log entry."""
        incident = self.incident_id()
        _log.failure(
            "incident",
            "incident {incident} in request {request_id}",
            failure,
            incident=incident,
            request_id=request.request_id,
        )
        if request.counts is not None:
            request.counts.incident()
        return incident

    def unforeseen(self, request: Request, failure: Failure) -> None:
        """Answer a defect of ours: an incident id that finds the log entry, and no detail."""
        incident = self._incident(request, failure)
        if _cut(request):
            return
        request.count_refused("internal")
        text = f"Something went wrong here; the log has it as incident {incident}."
        if problems.wanted(request):
            applied = "no" if request.method in (b"GET", b"HEAD") else "unknown"
            problems.answer(request, Problem("internal", text, applied=applied, members={"incident": incident}))
        else:
            refuse(request, 500, {"error": text})


def refuse(request: Request, status: int, problems: dict[str, str], *headers: tuple[bytes, bytes]) -> None:
    """Write a whole answer with an error."""
    request.answer(status, (JSON, *headers), encoded({"status": "error", "error_msg": problems}))


def render(request: Request | None, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """Return the answer to a request that the HTTP server refuses: its header fields and its body.

    :param request: given where at least its path is known.
    """
    if request is not None and sqs.wanted(request):
        return sqs.of_refusal(request, refusal)
    if request is None or not problems.wanted(request):
        return render_refusal(request, refusal)
    found = problems.document(problems.of_refusal(refusal), request.request_id)
    return {"Content-Type": problems.MEDIA_TYPE}, json_line(found)


def log_refused(request: Request, status: int, text: str, applied: str) -> None:
    """Log that a request cannot be served now."""
    _log.warn(
        "refused",
        "{status} for request {request_id}: {text} (applied: {applied})",
        status=status,
        request_id=request.request_id,
        text=text,
        applied=applied,
    )


def _cut(request: Request) -> bool:
    """Cut off an answer that has begun, so that its client sees that it is incomplete; return whether there was one."""
    if request.startedWriting:
        request.abort()
    return bool(request.startedWriting)
