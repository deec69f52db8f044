"""Changes of queues over v2: merged, on conditions, and as far as the store promises them."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.interfaces import Capabilities
from queuey.model.queues.queue import Queue, QueueSettings, QueueType
from tests.http.api_support import OWNER, set_promises
from tests.http.v2.test_queues import CREATED, DEFAULTS, EVERYTHING, PATCH, QueueTestCase


class PromiseTests(QueueTestCase):
    """Guarantees that cannot be kept."""

    def test_weak(self) -> None:
        """Nothing is stored once in a weak queue, whichever of the two is asked for last."""
        self.problem("not-promised", self.put("q", {"consistency": "weak", "guarantee": "exactly-once"}))
        self.problem("no-such-queue", self.send("GET", "/queues/q"))
        queue = self.made("q", guarantee="exactly-once")
        self.problem("not-promised", self.change("q", {"consistency": "weak"}))
        errors = self.refused(400, self.form("PUT", "/v1/app/q", OWNER, consistency="weak"))
        self.assertEqual(list(errors), ["NotPromised"])
        self.assertEqual(self.get("q"), queue)

    def test_weak_under_groups(self) -> None:
        """A queue does not become weak under a group that promises exactly once, whichever face it is asked through."""
        queue, group = self.made("q"), "/queues/q/groups/ledger"
        self.expect(201, self.send("PUT", "/queues/q/groups/a"))
        self.expect(201, self.send("PUT", group, {"guarantee": "exactly-once"}))
        problem = self.problem("not-promised", self.change("q", {"consistency": "weak"}))
        self.assertIn('The group "ledger" does not allow this.', problem["detail"])
        self.problem("not-promised", self.put("q", {"consistency": "weak"}))
        errors = self.refused(400, self.form("PUT", "/v1/app/q", OWNER, consistency="weak"))
        self.assertEqual(list(errors), ["NotPromised"])
        self.assertEqual(self.get("q"), queue)
        self.expect(200, self.change("q", {"consistency": "very-strong"}))
        self.assertEqual(self.send("DELETE", group).status, 204)
        self.expect(200, self.change("q", {"consistency": "weak"}))
        self.problem("not-promised", self.send("PUT", group, {"guarantee": "exactly-once"}))
        self.expect(200, self.change("q", {"ttl": 60}))

    def test_weaker_over_data_centres(self) -> None:
        """Where groups need queues that are very strong, those stay so that have some."""
        self.made("q", consistency="very-strong")
        self.made("bare", consistency="very-strong")
        self.expect(201, self.send("PUT", "/queues/q/groups/g"))
        store: Any = self.store
        set_promises(store, attrs.evolve(store.capabilities, apart=True))
        self.assertIn('"g"', self.problem("not-promised", self.change("q", {"consistency": "strong"}))["detail"])
        self.expect(200, self.change("bare", {"consistency": "strong"}))

    def test_a_store_that_cannot(self) -> None:
        """What the store says why is passed on."""
        set_promises(self.store, Capabilities("nothing", False, "Thrift has no transactions."))
        problem = self.problem("not-promised", self.put("q", {"guarantee": "exactly-once"}))
        self.assertEqual(problem["detail"], "Exactly once cannot be guaranteed here. Thrift has no transactions.")
        self.made("q", guarantee="at-most-once")


class PatchTests(QueueTestCase):
    """PATCH /v2/{app}/queues/{queue}."""

    def test_changes(self) -> None:
        """What is given; the rest stays."""
        queue = self.made("q", **EVERYTHING)
        response = self.change("q", {"ttl": 60, "type": "user"})
        changed = self.expect(200, response)
        self.assertEqual(changed, {**queue, "ttl": 60, "type": "user", "version": changed["version"]})
        self.assertEqual(response.header("etag"), f'"{changed["version"]}"')
        self.assertEqual(self.get("q"), changed)

    def test_null(self) -> None:
        """It is the default."""
        queue = self.made("q", **EVERYTHING)
        nulls = dict.fromkeys(("type", "consistency", "guarantee", "principals", "ttl"))
        changed = self.expect(200, self.change("q", nulls))
        self.assertEqual(changed, {**queue, **DEFAULTS, "partitions": 200, "version": changed["version"]})
        self.problem("partitions-shrink", self.change("q", {"partitions": None}))

    def test_nothing(self) -> None:
        """An empty one, an equal one, and one of what the server sets change nothing."""
        queue = self.made("q")
        for body in ({}, b"", {"ttl": 259200}, {"version": queue["version"], "created": CREATED, "name": "q"}):
            self.assertEqual(self.expect(200, self.change("q", body)), queue)

    def test_type(self) -> None:
        """Only a merge patch is one."""
        self.made("q")
        for kind in ("application/json", "application/json-patch+json", None):
            response = self.change("q", {}, kind)
            self.problem("unsupported-media-type", response)
            self.assertEqual(response.header("accept-patch"), PATCH)
        self.assertEqual(self.change("q", {}, "Application/Merge-Patch+JSON; charset=utf-8").status, 200)

    def test_wrong(self) -> None:
        """As with PUT."""
        queue = self.made("q")
        self.assertEqual(list(self.errors("invalid-body", self.change("q", {"ttl": 0, "x": 1}))), ["/x"])
        self.assertEqual(list(self.errors("invalid-body", self.change("q", {"ttl": 0}))), ["/ttl"])
        self.assertEqual(list(self.errors("invalid-body", self.change("q", {"version": "x"}))), ["/version"])
        self.problem("no-such-queue", self.change("nope", {}))
        self.assertEqual(self.get("q"), queue)


class ConditionTests(QueueTestCase):
    """If-Match and If-None-Match."""

    def test_if_match(self) -> None:
        """A change of what one has seen, and of nothing else."""
        tag = f'"{self.made("q")["version"]}"'
        changed = self.expect(200, self.put("q", {"ttl": 5}, If_Match=f'"x", {tag}'))
        for held in (tag, f'W/"{changed["version"]}"', '"x"'):
            problem = self.problem("precondition-failed", self.put("q", {"ttl": 6}, If_Match=held))
            self.assertIn(changed["version"], problem["detail"])
            self.problem("precondition-failed", self.change("q", {"ttl": 6}, If_Match=held))
            response = self.send("DELETE", "/queues/q", None, {**OWNER, "If-Match": held})
            self.problem("precondition-failed", response)
        self.assertEqual(self.get("q"), changed)
        changed = self.expect(200, self.change("q", {"ttl": 7}, If_Match=f'"{changed["version"]}"'))
        self.expect(200, self.change("q", {"ttl": 8}, If_Match="*"))

    def test_if_match_of_nothing(self) -> None:
        """Where there is no queue, none is made."""
        for held in ("*", '"v1"'):
            self.problem("precondition-failed", self.put("q", {}, If_Match=held))
        self.problem("no-such-queue", self.send("GET", "/queues/q"))

    def test_if_none_match(self) -> None:
        """Only a new one is made."""
        self.assertEqual(self.put("q", {}, If_None_Match="*").status, 201)
        self.problem("precondition-failed", self.put("q", {}, If_None_Match="*"))
        tag = f'"{self.get("q")["version"]}"'
        self.problem("precondition-failed", self.put("q", {"ttl": 5}, If_None_Match=f"W/{tag}"))
        self.assertEqual(self.put("q", {"ttl": 5}, If_None_Match='"x"').status, 200)

    def test_delete(self) -> None:
        """On the condition that it is as one saw it."""
        queue = self.made("q")
        held = {**OWNER, "If-Match": f'"{queue["version"]}"'}
        self.expect(200, self.change("q", {"ttl": 5}))
        self.problem("precondition-failed", self.send("DELETE", "/queues/q", None, held))
        held = {**OWNER, "If-Match": f'"{self.get("q")["version"]}"'}
        self.assertEqual(self.send("DELETE", "/queues/q", None, held).status, 204)
        self.problem("no-such-queue", self.send("DELETE", "/queues/q", None, held))

    def test_conditions_that_are_none(self) -> None:
        """They are refused, and never taken for something else."""
        self.made("q")
        wrong = "is not *, nor entity tags in double quotes, separated by commas"
        for held in ("v1", '"v1', "", "*, *", '"a" "b"', '"a",', 'w/"a"'):
            for name in ("If-Match", "If-None-Match"):
                response = self.send("DELETE", "/queues/q", None, {**OWNER, name: held})
                self.assertEqual(self.errors("invalid-parameters", response), {name: wrong}, held)

    def test_judged_anew(self) -> None:
        """A condition is held against what is changed, not against what was read before."""
        queue = self.made("q")
        update = self.store.update

        def overtaken(seen: Queue, settings: QueueSettings) -> Deferred[Queue]:
            self.store.update = update  # type: ignore[method-assign]
            self.successResultOf(update(seen, attrs.evolve(seen.settings, type=QueueType.PUBLIC)))
            return update(seen, settings)

        for ask in (
            lambda held: self.change("q", {"ttl": 5}, If_Match=held),
            lambda held: self.send("DELETE", "/queues/q", None, {**OWNER, "If-Match": held}),
        ):
            self.expect(200, self.form("PUT", "/v1/app/q", OWNER, type="user"))
            queue = self.get("q")
            self.store.update = overtaken  # type: ignore[method-assign,assignment]
            self.problem("precondition-failed", ask(f'"{queue["version"]}"'))
            self.assertEqual((self.get("q")["type"], self.get("q")["ttl"]), ("public", 259200))
