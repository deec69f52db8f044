"""Consumer groups of v2 in memory: made, claimed from, settled, and looked at."""

from __future__ import annotations

from typing import Any

from tests.http.api_support import TIME, MessagesTestCase, fields_of
from tests.http.responses import Response
from tests.http.wire_support import Connection, encode_request

PATCH = "application/merge-patch+json"
RECEIPT = r"[A-Za-z0-9_-]{88}"


class GroupTestCase(MessagesTestCase):
    """Groups of the queue ``q``."""

    def group(self, rest: str = "", group: str = "g", queue: str = "q") -> str:
        """The path of a group, as ``send`` takes it."""
        return f"/queues/{queue}/groups/{group}{rest}"

    def put(self, body: Any = None, group: str = "g", queue: str = "q", **fields: str) -> Response:
        return self.send("PUT", self.group("", group, queue), body, fields_of(fields))

    def made(self, group: str = "g", queue: str = "q", **settings: Any) -> dict[str, Any]:
        """Make a group, and give what is said of it."""
        found: dict[str, Any] = self.expect(201, self.put(settings, group, queue))
        return found

    def change(self, body: Any, group: str = "g", content_type: str | None = PATCH, **fields: str) -> Response:
        return self.send("PATCH", self.group("", group), body, fields_of(fields), content_type)

    def get(self, group: str = "g", queue: str = "q") -> dict[str, Any]:
        found: dict[str, Any] = self.expect(200, self.send("GET", self.group("", group, queue)))
        return found

    def lag(self, partition: int = 1, group: str = "g") -> dict[str, Any]:
        """Where a group is in one partition, but for the age of what is the oldest."""
        (found,) = [one for one in self.get(group)["lag"] if one["partition"] == partition]
        del found["partition"], found["settled_through"], found["oldest_age"]
        return dict(found)

    def ask_claim(self, body: Any = None, group: str = "g", queue: str = "q", **fields: str) -> Response:
        return self.send("POST", self.group("/claims", group, queue), body, fields_of(fields))

    def claimed(self, group: str = "g", queue: str = "q", key: str = "", **members: Any) -> list[dict[str, Any]]:
        """The messages that a claim is given, which are as each has to be.

        :param key: an Idempotency-Key, without its quotes.
        """
        fields = {"Idempotency-Key": f'"{key}"'} if key else {}
        response = self.ask_claim(members or None, group, queue, **fields)
        answer = self.expect(200, response)
        self.check_claim(answer, response)
        found: list[dict[str, Any]] = answer["messages"]
        return found

    def check_claim(self, answer: dict[str, Any], response: Response) -> None:
        """What is true of the answer to each claim."""
        self.assertEqual((response.header("cache-control"), response.header("vary")), ("no-store", "Origin, Accept"))
        self.assertEqual(response.header("content-type"), "application/json")
        self.assertIn(list(answer), (["messages"], ["messages", "blocked"]))
        for message in answer["messages"]:
            body = "body" if "body" in message else "body_base64"
            members = ["id", "partition", "timestamp", "expires", "content_type", "headers", body]
            leased = ["receipt", "deliveries", "lease", "lease_until"] if "receipt" in message else ["deliveries"]
            self.assertEqual(list(message), [*members, *leased])
            if "receipt" in message:
                self.assertRegex(message["receipt"], rf"\A{RECEIPT}\Z")
                self.assertRegex(message["lease_until"], rf"\A{TIME}\Z")

    def given(self, group: str = "g", queue: str = "q", key: str = "", **members: Any) -> list[str]:
        """The bodies that a claim is given."""
        return [message["body"] for message in self.claimed(group, queue, key, **members)]

    def receipts(self, group: str = "g", **members: Any) -> list[str]:
        """The receipts that a claim is given."""
        return [message["receipt"] for message in self.claimed(group, **members)]

    def receipt(self, group: str = "g", **members: Any) -> str:
        """The receipt of the one message that a claim is given."""
        (found,) = self.receipts(group, limit=1, **members)
        return found

    def ask_settle(self, body: Any = None, group: str = "g", queue: str = "q", **fields: str) -> Response:
        return self.send("POST", self.group("/settlements", group, queue), body, fields_of(fields))

    def settled(self, group: str = "g", queue: str = "q", **lists: list[Any]) -> list[str]:
        """What became of each receipt; all of it went well."""
        return self.outcomes(self.expect(200, self.ask_settle(lists, group, queue)), lists)

    def stale(self, applied: str, group: str = "g", **lists: list[Any]) -> list[str]:
        """What became of each receipt; some changed nothing."""
        problem = self.problem("stale-receipts", self.ask_settle(lists, group))
        self.assertEqual(problem["applied"], applied)
        return self.outcomes(problem, lists)

    def outcomes(self, answer: dict[str, Any], lists: dict[str, list[Any]]) -> list[str]:
        """What became of each receipt, in the order asked."""
        asked = [one for some in lists.values() for one in some]
        receipts = [one if isinstance(one, str) else one["receipt"] for one in asked]
        self.assertEqual([list(one) for one in answer["outcomes"]], [["receipt", "outcome"]] * len(receipts))
        self.assertEqual([one["receipt"] for one in answer["outcomes"]], receipts)
        return [one["outcome"] for one in answer["outcomes"]]

    def seek(self, to: Any, group: str = "g", **members: Any) -> Response:
        return self.send("POST", self.group("/seek", group), {"to": to, **members})

    def sought(self, to: Any, group: str = "g", **members: Any) -> None:
        """Move a group."""
        response = self.seek(to, group, **members)
        self.assertEqual((response.status, response.body), (204, b""), response)

    def ask_redrive(self, body: Any = None, group: str = "g") -> Response:
        return self.send("POST", self.group("/redrive", group), body)

    def redriven(self, group: str = "g", **members: Any) -> int:
        """How many dead letters are taken back, all at once."""
        answer = self.expect(200, self.ask_redrive(members, group))
        self.assertEqual((list(answer), answer["left"], answer["next"]), (["moved", "left", "next"], {}, None))
        return int(answer["moved"])

    def start(self, group: str = "g", body: bytes = b'{"wait": 20}', **fields: str) -> Connection:
        """Begin a claim, and do not expect an answer yet."""
        path = f"/v2/app{self.group('/claims', group)}"
        headers = {**fields_of(fields), "Content-Type": "application/json"}
        connection = Connection(self.assembly.site).send(encode_request("POST", path, headers, body))
        self.assertEqual(connection.received, b"")
        return connection

    def answer(self, connection: Connection) -> list[str]:
        """The bodies that a claim which waited is given."""
        response = connection.response("POST")
        answer = self.expect(200, response)
        self.check_claim(answer, response)
        connection.hang_up()
        return [message["body"] for message in answer["messages"]]

    def pass_time(self, seconds: float) -> None:
        """Let time go by in small steps, since one thing may lead to another."""
        steps = max(1, round(seconds / 0.1))
        self.clock.pump([seconds / steps] * steps)
