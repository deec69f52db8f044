"""Claims of several groups over v2: who is served by which group, waits, and refusals."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.http.api_support import OWNER, SETTINGS
from tests.http.group_support import GroupTestCase
from tests.http.responses import Response
from tests.http.wire_support import Connection
from tests.live.groups.fair_claims import starved

JSON = {"Content-Type": "application/json"}


class ManyClaimsCase(GroupTestCase):
    """Two queues with a group ``w`` each."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("high", "low"):
            self.expect(201, self.send("PUT", f"/queues/{name}", {}))
            self.made("w", name)

    def write(self, queue: str, *texts: str) -> None:
        for text in texts:
            typed = {**OWNER, "Content-Type": "text/plain"}
            self.expect(201, self.ask("POST", f"/v2/app/queues/{queue}/messages", typed, text.encode()))

    def body(self, *queues: str, group: str = "w", **members: Any) -> bytes:
        sources = [{"queue": queue, "group": group} for queue in queues or ("high", "low")]
        return json.dumps({"from": sources, **members}).encode()

    def claims(self, *queues: str, headers: Any = OWNER, group: str = "w", **members: Any) -> Response:
        return self.ask("POST", "/v2/app/claims", {**headers, **JSON}, self.body(*queues, group=group, **members))

    def served(self, *queues: str, **members: Any) -> tuple[str | None, list[str]]:
        return self.shown(self.expect(200, self.claims(*queues, **members)))

    def shown(self, answer: Any) -> tuple[str | None, list[str]]:
        """The queue that served a claim, and the bodies."""
        if answer["messages"]:
            self.assertEqual(answer["group"], "w")
        return answer.get("queue"), [message["body"] for message in answer["messages"]]

    def wait(self, *queues: str, **members: Any) -> Connection:
        """A claim that waits."""
        body = self.body(*queues, **{"wait": 20, **members})
        return self.client.start("POST", "/v2/app/claims", {**OWNER, **JSON}, body)

    def answered(self, connection: Connection) -> tuple[str | None, list[str]]:
        self.clock.advance(0)
        response = connection.response()
        return self.shown(self.expect(200, response))

    def in_flight(self, queue: str) -> int:
        (lag,) = self.get("w", queue)["lag"]
        return int(lag["in_flight"])


class ServedTests(ManyClaimsCase):
    """Which group serves a claim."""

    def test_strict(self) -> None:
        self.write("low", "1", "2")
        self.write("high", "3")
        self.assertEqual(self.served(), ("high", ["3"]))
        self.assertEqual(self.served(), ("low", ["1", "2"]))
        self.assertEqual(self.served(), (None, []))
        self.assertEqual((self.in_flight("high"), self.in_flight("low")), (1, 2))

    def test_limits_and_settlements(self) -> None:
        self.write("low", "1", "2")
        answer = self.expect(200, self.claims(limit=1, lease=60))
        (message,) = answer["messages"]
        self.assertEqual((message["body"], message["lease"]), ("1", 60))
        settled = self.send("POST", self.group("/settlements", "w", "low"), {"ack": [message["receipt"]]})
        self.assertEqual(self.expect(200, settled)["outcomes"][0]["outcome"], "acked")

    def test_fair(self) -> None:
        """Each group that has messages serves about as many claims as any other."""
        for name in ("high", "low"):
            self.write(name, *("x" for _ in range(40)))
        served = Counter(self.served("high", "q", "low", order="fair", limit=1)[0] for _ in range(40))
        self.assertEqual(set(served), {"high", "low"})
        self.assertTrue(all(8 < number < 32 for number in served.values()), served)

    def test_fair_claims_starve_no_queue(self) -> None:
        """Each is served again and again as long as all have messages; of strict claims only the first is."""
        for name in ("high", "low"):
            self.write(name, *map(str, range(150)))
        for order, wanted in (("fair", []), ("strict", ["low"])):
            served = [str(self.served(limit=1, order=order)[0]) for _ in range(100)]
            self.assertEqual(starved(served, ("high", "low")), wanted, order)

    def test_groups_are_created(self) -> None:
        self.write("high", "1")
        self.assertEqual(self.expect(200, self.claims(group="new"))["messages"][0]["body"], "1")
        self.get("new", "low")


class WaitingTests(ManyClaimsCase):
    """Claims that wait."""

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.assembly.waits.waiting, 0)
        self.assertEqual(self.assembly.waits.listeners, {})

    def test_the_first_serves(self) -> None:
        for queue, text in (("low", "1"), ("high", "2")):
            waiting = self.wait()
            self.clock.advance(1)
            self.write(queue, text)
            self.assertEqual(self.answered(waiting), (queue, [text]))
            self.assert_nothing_left()
        self.write("low", "3")
        self.assertEqual(self.in_flight("low"), 1)

    def test_only_one_serves(self) -> None:
        """Messages come to both in the same turn; the earlier group goes first, and the other keeps its message."""
        waiting = self.wait()
        for name in ("low", "high"):
            typed = {**OWNER, "Content-Type": "text/plain"}
            self.client.start("POST", f"/v2/app/queues/{name}/messages", typed, b"x")
        self.assertEqual(self.answered(waiting), ("high", ["x"]))
        self.clock.advance(1)
        self.assertEqual((self.in_flight("high"), self.in_flight("low")), (1, 0))
        self.assertEqual(self.served(), ("low", ["x"]))

    def test_first_come_first_served(self) -> None:
        many, one = self.wait(), self.wait("low")
        self.write("low", "1")
        self.assertEqual(self.answered(many), ("low", ["1"]))
        self.write("low", "2")
        self.assertEqual(self.answered(one), ("low", ["2"]))
        self.assert_nothing_left()

    def test_the_end_of_a_lease(self) -> None:
        self.write("low", "1")
        self.assertEqual(self.served(lease=5), ("low", ["1"]))
        waiting = self.wait()
        self.clock.advance(6)
        self.assertEqual(self.answered(waiting), ("low", ["1"]))

    def test_the_deadline(self) -> None:
        waiting = self.wait(wait=3)
        self.clock.advance(3.1)
        self.assertEqual(self.answered(waiting), (None, []))
        self.assert_nothing_left()

    def test_a_client_that_hangs_up(self) -> None:
        waiting = self.wait()
        self.clock.advance(1)
        waiting.hang_up()
        self.write("high", "1")
        self.clock.advance(1)
        self.assertEqual(self.in_flight("high"), 0)
        self.assert_nothing_left()
        self.assertEqual(self.served(), ("high", ["1"]))

    def test_a_group_that_is_deleted(self) -> None:
        waiting = self.wait()
        self.assertEqual(self.send("DELETE", self.group("", "w", "low")).status, 204)
        self.clock.advance(0)
        problem = self.expect(404, waiting.response())
        self.assertEqual((problem["code"], problem["errors"][0]["pointer"]), ("no-such-group", "/from/1/group"))
        self.assert_nothing_left()

    def test_a_queue_that_is_deleted(self) -> None:
        waiting = self.wait()
        self.assertEqual(self.send("DELETE", "/queues/high").status, 204)
        self.clock.advance(20)
        problem = self.expect(404, waiting.response())
        self.assertEqual((problem["code"], problem["errors"][0]["pointer"]), ("no-such-queue", "/from/0/queue"))
        self.assert_nothing_left()


class KeysTests(ManyClaimsCase):
    """Claims under an Idempotency-Key."""

    def keyed(self, *queues: str, key: str = "k", **members: Any) -> Response:
        return self.claims(*queues, headers={**OWNER, "Idempotency-Key": f'"{key}"'}, **members)

    def given(self, *queues: str, key: str = "k", **members: Any) -> Any:
        answer = self.expect(200, self.keyed(*queues, key=key, **members))
        return answer.get("queue"), [(message["body"], message["receipt"]) for message in answer["messages"]]

    def test_a_repeat(self) -> None:
        """It gives the same messages and receipts of the same group, whatever other groups have by then."""
        self.write("low", "1", "2")
        queue, given = self.given(limit=1)
        self.assertEqual((queue, [body for body, _ in given]), ("low", ["1"]))
        self.write("high", "3")
        self.assertEqual(self.given(limit=1), (queue, given))
        self.assertEqual(self.given(limit=1, key="other")[0], "high")
        self.assertEqual((self.in_flight("high"), self.in_flight("low")), (1, 1))
        self.clock.advance(31)
        self.assertEqual(self.given(limit=1)[0], "high")

    def test_a_repeat_of_a_fair_claim(self) -> None:
        for name in ("high", "low"):
            self.write(name, *("x" for _ in range(30)))
        for number in range(20):
            first = self.given(key=f"{number}", order="fair", limit=1)
            for _ in range(3):
                self.assertEqual(self.given(key=f"{number}", order="fair", limit=1), first)
        self.assertEqual(self.in_flight("high") + self.in_flight("low"), 20)

    def test_another_claim_under_the_key(self) -> None:
        self.write("low", "1")
        self.given(limit=1)
        self.assertEqual(self.expect(422, self.keyed(limit=2))["code"], "key-reused")

    def test_a_wait(self) -> None:
        """A lost answer of a claim that has waited loses nothing; meanwhile there is one claim under the key."""
        headers = {**OWNER, **JSON, "Idempotency-Key": '"k"'}
        waiting = self.client.start("POST", "/v2/app/claims", headers, self.body(wait=20))
        self.clock.advance(1)
        self.assertEqual(self.expect(409, self.keyed(wait=20))["code"], "key-in-use")
        self.write("low", "1")
        self.assertEqual(self.answered(waiting), ("low", ["1"]))
        self.write("high", "2")
        self.assertEqual(self.given(wait=20)[0], "low")

    def test_a_wait_that_is_hung_up(self) -> None:
        headers = {**OWNER, **JSON, "Idempotency-Key": '"k"'}
        waiting = self.client.start("POST", "/v2/app/claims", headers, self.body(wait=20))
        waiting.hang_up()
        self.clock.advance(0)
        self.write("low", "1")
        self.assertEqual(self.given(wait=20)[0], "low")

    def test_groups_that_take_no_key(self) -> None:
        self.made("w", "q", guarantee="at-most-once")
        problem = self.expect(400, self.keyed("high", "q"))
        self.assertEqual(problem["errors"][0]["parameter"], "Idempotency-Key")
        self.assertIn("q/w", problem["detail"])
        self.expect(200, self.claims("high", "q"))


class SeatsTests(ManyClaimsCase):
    """How many may wait."""

    settings = f"{SETTINGS}[application:app]\nmax_waits = 1\n"

    def test_how_many_wait(self) -> None:
        waiting = self.wait()
        self.assertEqual(self.expect(429, self.claims(wait=1))["code"], "too-many-requests")
        waiting.hang_up()


class RefusalsTests(ManyClaimsCase):
    """What is refused."""

    def test_bodies(self) -> None:
        one, two = {"queue": "high", "group": "w"}, {"queue": "low", "group": "w"}
        for asked, places in (
            ({}, ["/from"]),
            ({"from": []}, ["/from"]),
            ({"from": [one] * 101}, ["/from"]),
            ({"from": [one, one]}, ["/from/1"]),
            (
                {"from": [one, 3, {"queue": "a/b", "more": 1}]},
                ["/from/1", "/from/2/more", "/from/2/queue", "/from/2/group"],
            ),
            ({"from": [one], "order": "random", "limit": 0}, ["/order", "/limit"]),
            ({"from": [one], "settle": {}}, ["/settle"]),
            ({"from": [{**one, "settle": ["r"]}]}, ["/from/0/settle"]),
            ({"from": [{**one, "settle": {"ack": "r", "x": []}}]}, ["/from/0/settle/x", "/from/0/settle/ack"]),
            (
                {"from": [{**one, "settle": {"ack": ["r"]}}, {**two, "settle": {"retry": ["r"]}}]},
                ["/from/1/settle/retry/0"],
            ),
            (
                {"from": [{**each, "settle": {"ack": [f"{each} {at}" for at in range(501)]}} for each in (one, two)]},
                ["/from"],
            ),
        ):
            response = self.ask("POST", "/v2/app/claims", {**OWNER, **JSON}, json.dumps(asked).encode())
            problem = self.expect(400, response)
            self.assertEqual([error["pointer"] for error in problem["errors"]], places)

    def test_queues_that_are_missing(self) -> None:
        problem = self.expect(404, self.claims("high", "x", "low", "y"))
        self.assertEqual(problem["code"], "no-such-queue")
        self.assertEqual([error["pointer"] for error in problem["errors"]], ["/from/1/queue", "/from/3/queue"])

    def test_who_may_not_claim(self) -> None:
        self.write("high", "1")
        problem = self.expect(401, self.claims(headers={}))
        self.assertEqual([error["pointer"] for error in problem["errors"]], ["/from/0/queue", "/from/1/queue"])
        self.assertEqual(self.in_flight("high"), 0)
