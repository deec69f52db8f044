"""Errors over v2 that say what their client can do."""

from __future__ import annotations

from tests.http.api_support import OWNER, MessagesTestCase
from tests.http.responses import Response
from tests.http.wire_support import Fields

KEY = "Authorization: Application <key>"
NONE = f"Send credentials that are accepted here: {KEY}."


class AdviceTests(MessagesTestCase):
    """What stands in the detail of problems."""

    def detail(self, code: str, response: Response) -> str:
        return str(self.problem(code, response)["detail"])

    def test_credentials(self) -> None:
        """A 401 names those that are taken, whatever was sent instead."""
        shown: tuple[Fields, ...] = ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"})
        for fields in shown:
            detail = self.detail("unauthorized", self.send("GET", "/queues", None, fields))
            self.assertEqual(detail, f"Access was denied: this caller may not list queues. {NONE}", fields)
        detail = self.detail("unauthorized", self.send("GET", "/queues", None, {"Authorization": "Application wrong"}))
        self.assertEqual(detail, f"Invalid application key. Accepted here: {KEY}.")

    def test_no_queue(self) -> None:
        """A 404 of a queue says how it is made, unless no queue can have the name."""
        made = "Create it first with PUT at its path, or set create_queues = on-write for the application"
        for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/messages"), ("POST", "/messages")):
            self.assertIn(made, self.detail("no-such-queue", self.send(method, f"/queues/none{rest}", None)), rest)
        detail = self.detail("no-such-queue", self.send("GET", f"/queues/{'n' * 81}/messages", None))
        self.assertEqual(detail, "Queue name longer than 80 characters.")

    def test_too_large(self) -> None:
        """A 413 names the limit, however the body is framed."""
        body = b"x" * ((1 << 20) + 1)
        path = f"/v2/app{self.path()}"
        chunked = b"100001\r\n" + body + b"\r\n0\r\n\r\n"
        for fields, data in ((OWNER, body), ({**OWNER, "Transfer-Encoding": "chunked"}, chunked)):
            connection = self.client.start("POST", path, fields, data)
            problem = self.problem("too-large", connection.response("POST"))
            text = "The body of a request has at most 1048576 bytes here."
            self.assertEqual((problem["detail"], problem["limit"]), (text, "max_body"))

    def test_limit_of_the_application(self) -> None:
        """So does one that its own limit is for."""
        self.assertEqual(len(self.detail("too-large", self.append(b"x" * ((1 << 20) + 1)))) < 200, True)
