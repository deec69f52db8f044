"""Errors, by what a caller does about them; and how an answer becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from queuey_client.core.steps import Answer, NoAnswer, Opened

MAX_DETAIL = 300
"""Characters of a foreign answer, such as a proxy's page, that an error shows."""


class QueueyError(Exception):
    """What went wrong, in the words of the server's problem document (RFC 9457).

    :ivar code: what programs go by; ``docs/api-v2`` lists all. ``no-answer`` is the client's own.
    :ivar status: of the answer, or ``None`` if there was none.
    :ivar retryable: whether the same request may succeed later.
    :ivar applied: whether anything was stored: ``no``, ``yes``, ``partly`` or ``unknown``.
    :ivar errors: what is wrong with the input, each by its ``parameter`` or its ``pointer``.
    :ivar retry_after: seconds that the server asked to wait.
    :ivar limit: the limit that was met, by its name in :meth:`Client.promises`.
    :ivar attempts: how often the request was sent.
    :ivar problem: the problem document, whole.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str = "no-answer",
        status: int | None = None,
        retryable: bool = False,
        applied: str = "no",
        errors: Sequence[Mapping[str, str]] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        limit: str | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.retryable = retryable
        self.applied = applied
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after
        self.limit = limit
        self.problem: Mapping[str, Any] = problem or {}
        self.attempts = 1

    def __str__(self) -> str:
        times = f", after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.code}: {self.detail}{times}"


class Invalid(QueueyError):
    """The request is wrong, and stays wrong: mend the program (400, 405, 409, 413 to 416, 422, 431)."""


class NotAllowed(QueueyError):
    """The key or token is wrong, or does not allow this (401, 403)."""


class NotFound(QueueyError):
    """There is no such application, queue, group or message (404)."""


class Changed(QueueyError):
    """Another client was quicker: read it again, and decide again (409 ``conflict``, 412)."""


class NotPromised(QueueyError):
    """The store, or a queue like this, cannot promise that (409 ``not-promised``)."""


class Limited(QueueyError):
    """A rate or a quota was met, and retries did not help within the deadline (429, 507)."""


class Unavailable(QueueyError):
    """The server could not be reached or did not answer in time; ``applied`` says what is known (408, 5xx)."""


class QueueReplaced(QueueyError):
    """The queue was deleted and made again, so the cursor is of another one (410).

    :ivar oldest: a cursor that goes on in the new queue.
    """

    oldest: str = ""


class Gap(QueueyError):
    """Messages that a reader had not come to were purged, or may have expired.

    Iterators raise it with ``on_gap="raise"``.

    :ivar first: a cursor just before the first message that is left.
    """

    first: str = ""
    queue: str = ""


class Stale(QueueyError):
    """Some receipts had no effect; all other settlements of the call were applied (409 ``stale-receipts``).

    :ivar outcomes: pairs of a receipt and its outcome, in the order asked.
    """

    outcomes: Sequence[tuple[str, str]] = ()

    @property
    def stale(self) -> Sequence[str]:
        """The receipts that had no effect."""
        return [receipt for receipt, outcome in self.outcomes if outcome in ("stale", "invalid")]


_BY_CODE: Mapping[str, type[QueueyError]] = {
    "conflict": Changed,
    "key-in-use": Unavailable,
    "not-promised": NotPromised,
    "queue-replaced": QueueReplaced,
    "stale-receipts": Stale,
}
_BY_STATUS: Mapping[int, type[QueueyError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    408: Unavailable,
    412: Changed,
    429: Limited,
    507: Limited,
}


def kind_of(status: int, code: str) -> type[QueueyError]:
    """Return the class for an answer: by its code, else by its status."""
    found = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if found is not None:
        return found
    return Unavailable if status >= 500 or status < 400 else Invalid


def error_of(answer: Answer) -> QueueyError:
    """Make an error of an answer that is no success.

    An answer without a problem document is not of the server itself but of something before it, such as a proxy. With
    5xx it is unknown then whether the request was done, and it may succeed later.
    """
    problem = problem_of(answer)
    code = str(problem.get("code", f"http-{answer.status}"))
    foreign = not problem
    error = kind_of(answer.status, code)(
        str(problem.get("detail") or problem.get("title") or _excerpt(answer)),
        code=code,
        status=answer.status,
        retryable=answer.status in (408, 429) or answer.status >= 500 if foreign else problem.get("retryable") is True,
        applied="unknown" if foreign and answer.status >= 500 else str(problem.get("applied", "no")),
        errors=[each for each in problem.get("errors") or () if isinstance(each, dict)],
        request_id=answer.headers.get("x-request-id"),
        retry_after=retry_after_of(answer.headers),
        limit=problem.get("limit"),
        problem=problem,
    )
    if isinstance(error, QueueReplaced):
        error.oldest = str(problem.get("oldest", ""))
    if isinstance(error, Stale):
        error.outcomes = outcomes_of(problem)
    return error


def success_error(method: str, answer: Answer) -> Unavailable | None:
    """Make an error of a success that is not Queuey's, or not all of it; ``None`` if it may be used.

    A proxy that does not say where an answer ends may send half of one. A write may have been done all the same.
    """
    kind = answer.headers.get("content-type", "")
    # A message that was read by its id may be of any type.
    if not answer.body or isinstance(answer, Opened) or "queuey-id" in answer.headers:
        return None
    if kind.startswith("application/json") and not answer.body.rstrip().endswith((b"}", b"]")):
        detail = f"the answer of status {answer.status} was cut"
        return Unavailable(detail, status=answer.status, retryable=True, applied="unknown")
    if method == "GET" or answer.body.lstrip()[:1] in (b"{", b"["):
        return None
    text = f"the answer is not Queuey's: {_excerpt(answer)}"
    return Unavailable(text, code="foreign-answer", status=answer.status, applied="unknown")


def no_answer(lost: NoAnswer) -> Unavailable:
    """Make the error of a request that was not answered."""
    applied = "unknown" if lost.sent else "no"
    return Unavailable(lost.detail, retryable=not lost.final, applied=applied)


def outcomes_of(document: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Read the outcomes of settlements."""
    return [(str(each["receipt"]), str(each["outcome"])) for each in document.get("outcomes") or ()]


def problem_of(answer: Answer) -> Mapping[str, Any]:
    """Read the problem document of an answer; it is empty if there is none."""
    if "json" not in answer.headers.get("content-type", ""):
        return {}
    try:
        document: dict[str, Any] | Any = json.loads(answer.body)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    # Proxies and gateways send JSON with a code too; what was applied only Queuey says.
    return document if all(isinstance(document.get(name), str) for name in ("code", "applied")) else {}


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or the date that some proxies send. It is compared with the ``Date`` of the
    answer, because clocks of machines differ."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _date_of(text)
        if until is None:
            return None
        seconds = max(0.0, (until - (_date_of(headers.get("date", "")) or datetime.now(timezone.utc))).total_seconds())
    return seconds if 0 <= seconds < float("inf") else None


def _date_of(text: str) -> datetime | None:
    """Read a date of HTTP."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def _excerpt(answer: Answer) -> str:
    text = " ".join(answer.body[: 4 * MAX_DETAIL].decode("utf-8", "replace").split())
    return f"status {answer.status}: {text[:MAX_DETAIL]}" if text else f"status {answer.status}"
