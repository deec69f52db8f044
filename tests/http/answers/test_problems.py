"""The table of problems, and what each error is in it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from queuey import errors
from queuey.errors import QueueyError
from queuey.http.answers import problems
from queuey.http.answers.errors import render
from queuey.http.answers.problems import CODES, Problem, document, of, of_refusal
from queuey.http.connection import limits
from queuey.http.connection.limits import Refusal

ERRORS: dict[type[QueueyError], QueueyError] = {
    errors.InvalidRequest: errors.InvalidRequest({"BadRequest": "text"}),
    errors.BadSignature: errors.BadSignature("SignatureDoesNotMatch", "text"),
    errors.KeyInUse: errors.KeyInUse("text", retry_after=2),
    errors.QueueReplaced: errors.QueueReplaced("text", "the-oldest"),
    errors.StorageFull: errors.StorageFull("text", limit="max_bytes"),
    errors.TooManyRequests: errors.TooManyRequests("text", limit="rate", retry_after=4),
    errors.Unavailable: errors.Unavailable("text", applied="unknown", retry_after=3),
}
"""Those that are made of more than a text."""

EXPECTED = {
    errors.InvalidRequest: (400, "malformed-request"),
    errors.InvalidUpdate: (409, "partitions-shrink"),
    errors.QueueClosed: (409, "queue-closed"),
    errors.BodyTooLarge: (413, "too-large"),
    errors.TooManyRequests: (429, "too-many-requests"),
    errors.NoSuchApplication: (404, "no-such-application"),
    errors.NoSuchQueue: (404, "no-such-queue"),
    errors.NoSuchGroup: (404, "no-such-group"),
    errors.NoSuchPush: (404, "no-such-push"),
    errors.NoSuchSchedule: (404, "no-such-schedule"),
    errors.NoSuchMessage: (404, "no-such-message"),
    errors.BadCredentials: (401, "unauthorized"),
    errors.BadIdentity: (401, "unauthorized"),
    errors.BadSignature: (401, "unauthorized"),
    errors.NeedsCredentials: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.PreconditionFailed: (412, "precondition-failed"),
    errors.IdOutOfRange: (409, "id-out-of-range"),
    errors.KeyReused: (422, "key-reused"),
    errors.KeyInUse: (409, "key-in-use"),
    errors.NotPromised: (409, "not-promised"),
    errors.BadCursor: (400, "invalid-cursor"),
    errors.CursorMismatch: (400, "cursor-mismatch"),
    errors.TooManyQueues: (400, "too-many-queues"),
    errors.QueueReplaced: (410, "queue-replaced"),
    errors.Conflict: (409, "conflict"),
    errors.AlreadyThere: (409, "conflict"),
    errors.StorageFull: (507, "storage-full"),
    errors.TooManyRequests: (429, "too-many-requests"),
    errors.Unavailable: (503, "unavailable"),
    errors.IdentityUnavailable: (503, "unavailable"),
    errors.DataInUse: (503, "unavailable"),
}


def every_error(kind: type[QueueyError] = QueueyError) -> list[type[QueueyError]]:
    """All kinds of errors of ``queuey.errors``, except that of the settings, which no client gets."""
    found = [each for child in kind.__subclasses__() for each in (child, *every_error(child))]
    return [each for each in found if each.__module__ == errors.__name__ and each is not errors.ConfigurationError]


class TableTests(SynchronousTestCase):
    """What stands in the table."""

    def test_codes(self) -> None:
        """Codes are words, statuses those of errors, titles short and each its own."""
        for code, kind in CODES.items():
            self.assertRegex(code, "^[a-z]+(-[a-z]+)*$")
            self.assertIn(kind.status, range(400, 600))
            self.assertRegex(kind.title, r"^[A-Z].{5,59}[^.]$")
        self.assertEqual(len({kind.title for kind in CODES.values()}), len(CODES))

    def test_every_error(self) -> None:
        """Each has one code, says its text, and what is known of it."""
        self.assertEqual(set(every_error()), set(EXPECTED))
        for kind, (status, code) in EXPECTED.items():
            problem = of(ERRORS.get(kind) or kind("text"))
            self.assertEqual((problem.status, problem.code, problem.detail), (status, code, "text"), kind)

    def test_what_some_errors_say_too(self) -> None:
        """When to come again, what was met, where to go on."""
        self.assertEqual(of(ERRORS[errors.KeyInUse]).headers, ((b"Retry-After", b"2"),))
        self.assertEqual(dict(of(ERRORS[errors.QueueReplaced]).members), {"oldest": "the-oldest"})
        self.assertEqual(dict(of(ERRORS[errors.StorageFull]).members), {"limit": "max_bytes"})
        self.assertEqual(dict(of(errors.StorageFull("text")).members), {"limit": "storage"})
        self.assertEqual(dict(of(errors.BodyTooLarge("text")).members), {"limit": "max_body"})
        self.assertEqual(dict(of(errors.BodyTooLarge("text", limit="storage")).members), {"limit": "storage"})
        too_many = of(ERRORS[errors.TooManyRequests])
        self.assertEqual((too_many.headers, dict(too_many.members)), (((b"Retry-After", b"4"),), {"limit": "rate"}))
        unavailable = of(ERRORS[errors.Unavailable])
        self.assertEqual((unavailable.headers, unavailable.applied), (((b"Retry-After", b"3"),), "unknown"))
        too_many = of(ERRORS[errors.TooManyRequests])
        self.assertEqual((too_many.headers, dict(too_many.members)), (((b"Retry-After", b"4"),), {"limit": "rate"}))
        invalid = of(errors.InvalidRequest({"ttl": "is too long"}))
        self.assertEqual((invalid.code, invalid.detail), ("invalid-parameters", "is too long"))
        self.assertEqual(invalid.errors, ({"parameter": "ttl", "detail": "is too long"},))

    def test_every_refusal_of_the_door(self) -> None:
        """Each has a code of the same status."""
        refusals = [value for value in vars(limits).values() if isinstance(value, Refusal)]
        refusals += [Refusal(400, "BadRequest", "x"), Refusal(405, "MethodNotAllowed", "x"), Refusal(500, "error", "x")]
        for refusal in refusals:
            problem = of_refusal(refusal)
            self.assertEqual((problem.status, problem.detail), (refusal.status, refusal.text))
            if refusal.status in (413, 414, 431):
                self.assertRegex(problem.members["limit"], "^max_")
        self.assertEqual(of_refusal(limits.OVERLOADED).members, {"limit": "max_connections"})
        self.assertEqual(of_refusal(limits.STOPPING).members, {})


class DocumentTests(SynchronousTestCase):
    """The document itself."""

    def test_plain(self) -> None:
        """What every problem has, in this order."""
        self.assertEqual(
            list(document(Problem("forbidden", "No."), "id-1").items()),
            [
                ("type", "urn:queuey:problem:forbidden"),
                ("title", "This caller may not do that"),
                ("status", 403),
                ("detail", "No."),
                ("instance", "id-1"),
                ("code", "forbidden"),
                ("retryable", False),
                ("applied", "no"),
            ],
        )

    def test_more(self) -> None:
        """What is wrong in detail, and members of its own."""
        problem = Problem(
            "invalid-body", "x", applied="partly", errors=({"pointer": "/a", "detail": "b"},), members={"line": 3}
        )
        found = document(problem, "id")
        self.assertEqual((found["errors"], found["line"]), ([{"pointer": "/a", "detail": "b"}], 3))
        self.assertEqual((found["applied"], found["retryable"]), ("partly", False))


class ShapeTests(SynchronousTestCase):
    """Which requests are answered so."""

    def test_by_path(self) -> None:
        """Those of v2, however their path is written."""
        for path, wanted in (
            (b"/v2/app", True),
            (b"/v2", True),
            (b"/v2/", True),
            (b"/%762/app", True),
            (b"/v2/%C3%A9", True),
            (b"/v1/app", False),
            (b"/v22/app", False),
            (b"//v2/app", False),
            (b"/", False),
            (b"*", False),
            (b"/v1/%2Fv2/", False),
        ):
            self.assertEqual(problems.wanted(_Asked(path)), wanted, path)  # type: ignore[arg-type]

    def test_refusals(self) -> None:
        """A refusal whose path is not known, or is another one, has the shape of v1."""
        request: Any = _Asked(b"/v2/app")
        fields, body = render(request, limits.TOO_LARGE)
        self.assertEqual(
            (fields, json.loads(body)["code"]), ({"Content-Type": "application/problem+json"}, "too-large")
        )
        for other in (None, _Asked(b"/v1/app")):
            fields, body = render(other, limits.TOO_LARGE)  # type: ignore[arg-type]
            self.assertEqual(fields, {"Content-Type": "application/json"})
            self.assertIsNotNone(re.fullmatch(rb'\{"status":"error","error_msg":\{"RequestTooLarge":.*\}\}', body))


class _Asked:
    """As much of a request as its shape depends on."""

    method = b"GET"
    request_id = "id"
    max_body = None

    def __init__(self, path: bytes) -> None:
        self.path = path

    def decoded_path(self) -> str:
        return unquote(self.path.decode("ascii"))
