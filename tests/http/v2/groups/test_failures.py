"""The answers about consumer groups when storage fails or a defect shows; no request is left half done."""

from __future__ import annotations

import os
from typing import cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.interfaces import IStateStore, IStore, Outcome, State
from queuey.model.timeid import from_seconds
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables
from queuey.storage.cassandra.groups.tables import EventRow, Head, Seen
from tests.http.api_support import OWNER
from tests.http.group_support import GroupTestCase
from tests.http.v1.test_refusals import Failing
from tests.http.wire_support import Client
from tests.storage.cassandra.row_tables import RowTables

EVERYTHING = (
    ("GET", "", None),
    ("GET", "/g", None),
    ("PUT", "/g", {"lease": 5}),
    ("PATCH", "/g", None),
    ("DELETE", "/g", None),
    ("POST", "/g/claims", None),
    ("POST", "/g/seek", {"to": "oldest"}),
    ("POST", "/g/redrive", {"all": True}),
)


class States:
    """States of which reading or changing fails, or has an unknown outcome.

    :ivar reading: what reads fail with.
    :ivar changing: what changes fail with.
    :ivar unknown: whether changes are done although the caller gets an error.
    :ivar then: what reads fail with after a change.
    :ivar keys: those that were read.
    :ivar damaged: states with this in their keys are read as damaged bytes.
    """

    def __init__(self, states: IStateStore) -> None:
        self._states = states
        self.reading: Exception | None = None
        self.changing: Exception | None = None
        self.unknown = False
        self.then: Exception | None = None
        self.keys: list[str] = []
        self.damaged: str | None = None

    def read(self, key: str) -> Deferred[State | None]:
        self.keys.append(key)
        if self.reading is not None:
            return fail(self.reading)
        found = self._states.read(key)
        return found.addCallback(_damaged) if self.damaged is not None and self.damaged in key else found

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        if self.changing is not None:
            return fail(self.changing)
        done = self._states.replace(key, version, value, fresh)
        self.reading = self.then
        return done.addCallback(lambda _: Outcome.UNKNOWN) if self.unknown else done


def _damaged(state: State | None) -> State | None:
    return None if state is None else State(state.value[:-1] + bytes((state.value[-1] ^ 1,)), state.version)


class FailingTables(GroupTables):
    """The tables of group states, which fail as the states do."""

    def __init__(self, states: States, rows: RowTables) -> None:
        super().__init__(rows, "ks")
        self._states = states

    def newest(self, key: str) -> Deferred[Seen]:
        """See GroupTables."""
        return self._read() or super().newest(key)

    def since(self, key: str, number: int) -> Deferred[Seen]:
        """See GroupTables."""
        return self._read() or super().since(key, number)

    def rows(self, key: str, start: int, version: int) -> Deferred[tuple[EventRow, ...]]:
        """See GroupTables."""
        found = super().rows(key, start, version)
        if self._states.damaged is not None and self._states.damaged in key:
            return found.addCallback(lambda rows: tuple([attrs.evolve(row, events=row.events[1:]) for row in rows]))
        return found

    def _read(self) -> Deferred[Seen] | None:
        return None if self._states.reading is None else fail(self._states.reading)

    def append(
        self, key: str, seen: int | None, token: bytes, events: bytes, head: Head | None = None
    ) -> Deferred[bool]:
        """See GroupTables."""
        if self._states.changing is not None:
            return fail(self._states.changing)
        done = super().append(key, seen, token, events, head)
        self._states.reading = self._states.then
        if not self._states.unknown:
            return done
        return done.addCallback(lambda _: fail(Unavailable("It does not answer.", applied="unknown")))


class GroupFailureTests(GroupTestCase):
    """Requests about groups while the store fails."""

    def make_store(self) -> IStore:
        self.failing = Failing(super().make_store())
        self.states = States(self.failing.states)  # type: ignore[arg-type]
        self.failing.states = self.states  # type: ignore[attr-defined]
        self.rows = RowTables(self.clock.seconds)
        self.forget_states()
        return self.failing

    def forget_states(self) -> None:
        """Let a process begin that has cached nothing."""
        now, store = lambda: from_seconds(self.clock.seconds()), cast(IStore, self.failing)
        groups = CassandraGroups(
            store,
            cast(IStateStore, self.states),
            FailingTables(self.states, self.rows),
            lambda: 0,
            now,
            os.urandom,
            lambda: succeed(None),
        )
        self.failing.groups = groups  # type: ignore[attr-defined]

    def setUp(self) -> None:
        super().setUp()
        self.appended("a")
        self.made()

    def later(self) -> None:
        """Let time pass, so that nothing that was read before is cached any more."""
        self.clock.advance(5)

    def test_reading(self) -> None:
        """503 says when to come again, and that nothing was done."""
        self.later()
        self.states.reading = Unavailable("Away.", retry_after=4)
        for method, path, body in EVERYTHING:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            response = self.send(method, f"/queues/q/groups{path}", body, OWNER, kind)
            problem = self.problem("unavailable", response)
            self.assertEqual((problem["applied"], problem["detail"]), ("no", "Away."), (method, path))
            self.assertEqual(response.header("retry-after"), "4")
        self.states.reading = None
        self.later()
        self.assertEqual((self.given(), self.get()["lease"]), (["a"], 30))

    def test_changing(self) -> None:
        """Where there is no room, or the store does not answer, nothing is taken, and nothing settled."""
        receipt = self.receipt()
        self.appended("b")
        errors: tuple[tuple[QueueyError, str], ...] = (
            (StorageFull("Full."), "storage-full"),
            (Unavailable("Away."), "unavailable"),
        )
        for error, code in errors:
            self.states.changing = error
            for response in (self.ask_claim(), self.ask_settle({"ack": [receipt]}), self.put(None, "other"),
                             self.seek("oldest")):  # fmt: skip
                self.assertEqual(self.problem(code, response)["applied"], "no")
        self.states.changing = None
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"]), ("b", 1))
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])
        self.problem("no-such-group", self.send("GET", self.group("", "other")))

    def test_unknown(self) -> None:
        """A change with an unknown outcome is looked up, and then known."""
        self.states.unknown = True
        receipt = self.receipt()
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])
        self.assertEqual(self.settled(ack=[receipt]), ["already-acked"])
        self.made("other", lease=7)
        self.assertEqual(self.get("other")["lease"], 7)

    def test_unknown_for_good(self) -> None:
        """Where that cannot be looked up, the answer says so; under a key the messages are given again."""
        self.receipt()
        self.appended("b")
        self.states.unknown = True
        self.states.then = Unavailable("Away.")
        problem = self.problem("unavailable", self.ask_claim(None, Idempotency_Key='"k"'))
        self.assertEqual(problem["applied"], "unknown")
        self.states.reading, self.states.then, self.states.unknown = None, None, False
        (message,) = self.claimed(key="k")
        self.assertEqual((message["body"], message["deliveries"]), ("b", 1))

    def test_at_most_once(self) -> None:
        """Where it stays unknown whether messages were settled, none of them is handed out, then or later."""
        self.made("once", guarantee="at-most-once")
        self.assertEqual(self.given("once"), ["a"])
        self.appended("b")
        self.states.unknown = True
        self.states.then = Unavailable("Away.")
        response = self.ask_claim(None, "once")
        self.assertEqual(self.problem("unavailable", response)["applied"], "unknown")
        self.assertNotIn(b'"body"', response.body)
        self.states.reading, self.states.then, self.states.unknown = None, None, False
        self.assertEqual(self.given("once"), [])

    def test_names(self) -> None:
        """What no group can be named is not looked for."""
        self.states.keys.clear()
        for name in ("x" * 65, "x" * 20_000, "a%20b", "%C3%BC"):
            for method, rest in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/claims"), ("POST", "/seek")):
                self.assertIn(self.send(method, self.group(rest, name)).status, (400, 404))
        self.assertEqual([key for key in self.states.keys if "/group" in key], [])
        self.later()
        self.get()
        self.assertNotEqual([key for key in self.states.keys if "/group" in key], [])

    def test_waiting(self) -> None:
        """A claim that waits while the store fails gets the error, and takes nothing."""
        self.receipt()
        connection = self.start()
        self.pass_time(1)
        self.failing.error, self.failing.methods = Unavailable("Away."), frozenset({"read_merged"})
        self.appended("b")
        self.pass_time(21)
        self.assertEqual(self.problem("unavailable", connection.response("POST"))["applied"], "no")
        self.failing.error = None
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"]), ("b", 1))

    def test_messages_away(self) -> None:
        """Where messages cannot be read, nothing is taken."""
        self.failing.error, self.failing.methods = Unavailable("Away."), frozenset({"read_merged"})
        self.assertEqual(self.problem("unavailable", self.ask_claim())["applied"], "no")
        self.failing.error = None
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"]), ("a", 1))

    def test_defect(self) -> None:
        """500 has an incident id and no detail."""
        self.later()
        self.states.reading = ZeroDivisionError("secret")
        for method, path, body in EVERYTHING:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            response = self.send(method, f"/queues/q/groups{path}", body, OWNER, kind)
            problem = self.problem("internal", response)
            self.assertIn(problem["incident"], problem["detail"])
            self.assertNotIn(b"secret", response.body)
            self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_damaged(self) -> None:
        """A state or a group that cannot be read is no empty one: 503, and nothing is written over it."""
        receipt = self.receipt()
        for part in ("/state/", "/group/"):
            self.states.damaged = part
            self.forget_states()
            self.client = Client(self.make_assembly(self.settings).site)
            for response in (self.ask_claim(), self.ask_settle({"ack": [receipt]}), self.send("GET", self.group())):
                self.assertIn("damaged", self.problem("unavailable", response)["detail"])
        self.states.damaged = None
        self.forget_states()
        self.client = Client(self.make_assembly(self.settings).site)
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])
