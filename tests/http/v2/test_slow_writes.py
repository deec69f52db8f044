"""v2 over a slow store: what readers see of writes under way, and the answers to repeated requests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from queuey.interfaces import IStore
from tests.http.api_support import OWNER
from tests.http.v2.reading.test_pages import ReadingTestCase
from tests.http.wire_support import Connection
from tests.storage.cassandra.store.store_support import StoreSubject

TOO_SLOW = 11
"""Seconds after which a write under a key is given up; see queuey.storage.cassandra.messages.producers."""


class SlowTestCase(ReadingTestCase):
    """The store on Cassandra, whose nodes the test may hold back.

    :ivar held: writes that wait for the test.
    """

    def make_store(self) -> IStore:
        self.subject = StoreSubject(self.clock.seconds)
        self.held: list[Deferred[None]] = []
        self._holding = False
        for name in ("execute", "batch", "transact"):
            setattr(self.subject.session, name, self._holdable(getattr(self.subject.session, name)))
        return self.subject.store

    def _holdable(self, method: Callable[..., Deferred[Any]]) -> Callable[..., Deferred[Any]]:
        def maybe_later(*given: Any) -> Deferred[Any]:
            if not self._holding or (hasattr(given[0], "text") and given[0].text.startswith("SELECT")):
                return method(*given)
            held: Deferred[None] = Deferred()
            self.held.append(held)
            return held.addCallback(lambda _: method(*given))

        return maybe_later

    def slowly(self, body: bytes, query: str = "", **fields: str) -> Connection:
        """Post a message whose write is held back."""
        self._holding = True
        headers = {**OWNER, **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection = self.client.start("POST", f"/v2/app{self.path(query)}", headers, body)
        self._holding = False
        self.assertEqual((connection.received, len(self.held)), (b"", 1))
        return connection

    def release(self) -> None:
        """Let what was held back happen."""
        self.held.pop().callback(None)


class StableTests(SlowTestCase):
    """Nothing is shown beyond the stable time, unless the reader asks for it."""

    def test_slow_write(self) -> None:
        """What is acknowledged after a slow write began waits for it, so that no reader passes that over."""
        first = self.appended("first", "?partition=1")
        slow = self.slowly(b"slow", "?partition=1")
        second = self.appended("second", "?partition=1")
        page = self.page()
        self.assertEqual(([m["body"] for m in page["messages"]], page["more"]), (["first"], False))
        self.assertLess(page["stable_until"], self.one(second).header("queuey-timestamp") or "")
        self.assertEqual(self.texts("order=desc"), ["first"])
        self.assertEqual(self.one(second).body, b"second")
        self.clock.advance(0.001)
        for _ in range(2):
            fresh = self.page(f"fresh=true&after={first}")
            self.assertEqual([m["body"] for m in fresh["messages"]], ["second"])
        self.assertEqual(self.texts("fresh=true&order=desc"), ["second", "first"])
        self.release()
        self.expect(201, slow.response())
        self.assertEqual(self.texts(f"after={page['next']}"), ["slow", "second"])
        self.assertEqual(self.texts(f"after={fresh['next']}"), ["slow", "second"])

    def test_fresh_pages(self) -> None:
        """What was fresh comes again, on every page, until it is stable; and then once."""
        slow = self.slowly(b"slow", "?partition=2")
        for number in range(4):
            self.appended(str(number), f"?partition={number % 3 + 1}")
        self.clock.advance(0.001)
        page = self.page("fresh=true&limit=2")
        self.assertEqual([m["body"] for m in page["messages"]], ["0", "1"])
        stuck = page["next"]
        self.assertTrue(page["more"])
        again = self.page(f"fresh=true&limit=2&after={stuck}")
        self.assertEqual((again["next"], again["more"]), (stuck, False))
        self.assertEqual(self.texts(f"fresh=true&limit=2&after={stuck}"), ["0", "1"])
        self.release()
        self.expect(201, slow.response())
        seen = [m["body"] for page in self.walk("fresh=true&limit=2", stuck) for m in page["messages"]]
        self.assertEqual(seen, ["slow", "0", "1", "2", "3"])

    def test_client_that_hangs_up(self) -> None:
        """Its write is finished all the same, and readers go on then."""
        slow = self.slowly(b"slow", "?partition=1")
        self.appended("after", "?partition=1")
        slow.hang_up()
        self.assertEqual(self.texts(), [])
        self.release()
        self.assertEqual(self.texts(), ["slow", "after"])

    def test_waits(self) -> None:
        """Who waits is woken by what becomes stable, and before by nothing else."""
        slow = self.slowly(b"slow", "?partition=1")
        connection = self.client.start("GET", f"/v2/app{self.path('?wait=5')}", OWNER)
        self.appended("after", "?partition=1")
        self.clock.pump([0.1] * 15)
        self.assertEqual(connection.received, b"")
        self.release()
        self.expect(201, slow.response())
        self.clock.pump([0.1] * 15)
        page = self.expect(200, connection.response())
        self.assertEqual([m["body"] for m in page["messages"]], ["slow", "after"])

    def test_place_after_a_wait(self) -> None:
        """Who has waited in vain goes on from where it is certain by then that there is nothing."""
        connection = self.client.start("GET", f"/v2/app{self.path('?wait=5')}", OWNER)
        before = self.page()["next"]
        self.clock.pump([0.1] * 51)
        page = self.expect(200, connection.response())
        self.assertEqual((page["messages"], page["next"]), ([], self.page()["next"]))
        self.assertNotEqual(page["next"], before)

    def test_short_lives(self) -> None:
        """A wait that is longer than messages live has missed nothing."""
        patch = "application/merge-patch+json"
        self.assertEqual(self.send("PATCH", "/queues/q", {"ttl": 4}, content_type=patch).status, 200)
        after = self.page()["next"]
        connection = self.client.start("GET", f"/v2/app{self.path(f'?wait=8&after={after}')}", OWNER)
        self.clock.pump([0.1] * 81)
        self.assertEqual(self.expect(200, connection.response())["resume"], "exact")

    def test_waits_for_fresh(self) -> None:
        """Who wants what is fresh is woken by it at once."""
        slow = self.slowly(b"slow", "?partition=1")
        connection = self.client.start("GET", f"/v2/app{self.path('?wait=5&fresh=true')}", OWNER)
        self.clock.pump([0.1] * 5)
        self.assertEqual(connection.received, b"")
        self.appended("after", "?partition=1")
        self.clock.pump([0.1] * 2)
        page = self.expect(200, connection.response())
        self.assertEqual([m["body"] for m in page["messages"]], ["after"])
        self.release()
        self.expect(201, slow.response())
        self.assertEqual(self.texts(f"after={page['next']}"), ["slow", "after"])


class PurgeTests(SlowTestCase):
    """Purges while something is being written."""

    def test_purge(self) -> None:
        """A purge ends where readers do: what is under way is not purged, nor what is newer."""
        first = self.appended("first", "?partition=1")
        cursor = self.page()["next"]
        slow = self.slowly(b"slow", "?partition=1")
        self.appended("newer", "?partition=1")
        for before in ("now", "1800000000"):
            self.assertEqual(self.send("DELETE", self.path(f"?before={before}")).status, 204)
        self.gone(self.one(first))
        self.release()
        self.expect(201, slow.response())
        self.assertEqual(self.texts(f"after={cursor}"), ["slow", "newer"])
        self.assertEqual(self.texts(), ["slow", "newer"])


class RandomTests(SlowTestCase):
    """Writes that take any time, and readers beside them."""

    def test_readers(self) -> None:
        """Whatever was answered 2xx is read once by everybody, in order; nothing else is read."""
        for seed in range(4):
            self.one_run(Random(seed), f"run{seed}")

    def one_run(self, random: Random, queue: str) -> None:
        self.make(queue, partitions=3)
        readers: list[tuple[list[str], list[str]]] = [([], [""]) for _ in range(4)]
        writes: list[tuple[Connection, Deferred[None]]] = []
        stored: list[str] = []
        for turn in range(250):
            choice = random.random()
            if choice < 0.3:
                writes.append(self.begin(random, queue, turn))
            elif choice < 0.55 and writes:
                stored += self.finish(*writes.pop(random.randrange(len(writes))))
            else:
                self.read_on(*random.choice(readers), random, queue)
            self.clock.advance(random.choice((0, 0, 0.001, 0.1)))
        for connection, held in writes:
            stored += self.finish(connection, held)
        self.clock.advance(1)
        for seen, place in readers:
            while self.read_on(seen, place, random, queue):
                pass
            self.assertEqual(seen, sorted(stored))

    def begin(self, random: Random, queue: str, turn: int) -> tuple[Connection, Deferred[None]]:
        """Begin to write one message or some, under a key or not; in one partition, whose write is one."""
        self._holding = True
        query = f"?partition={random.randrange(1, 4)}" + random.choice(("", "&delay=0.05"))
        fields = {**OWNER, **({"Idempotency-Key": f'"{turn}"'} if random.random() < 0.3 else {})}
        connection = self.client.start("POST", f"/v2/app{self.path(query, queue)}", fields, b"x")
        self._holding = False
        return connection, self.held.pop()

    def finish(self, connection: Connection, held: Deferred[None]) -> list[str]:
        """Let a write go on to its end; the ids that are answered."""
        held.callback(None)
        while self.held:
            self.release()
        messages = self.expect(201, connection.response())["messages"]
        connection.hang_up()
        return [message["id"] for message in messages]

    def read_on(self, seen: list[str], place: list[str], random: Random, queue: str) -> bool:
        """One page more; whether there was anything on it."""
        after = f"&after={place[0]}" if place[0] else ""
        page = self.page(f"limit={random.choice((1, 3, 100))}{after}", queue)
        seen += [message["id"] for message in page["messages"]]
        place[0] = page["next"]
        return bool(page["messages"])


class UnderWayTests(SlowTestCase):
    """An Idempotency-Key whose first request is under way."""

    def test_in_use(self) -> None:
        """The answer to a repeat says when to come again; then it has the outcome of the first."""
        slow = self.slowly(b"x", Idempotency_Key='"1"')
        self.release_all_but_the_last()
        response = self.append(b"x", Idempotency_Key='"1"')
        problem = self.problem("key-in-use", response)
        self.assertEqual((problem["applied"], problem["retryable"]), ("no", True))
        self.assertGreaterEqual(int(response.header("retry-after") or "0"), 1)
        self.assertEqual(self.problem("key-reused", self.append(b"y", Idempotency_Key='"1"'))["applied"], "no")
        self.release()
        first = self.expect(201, slow.response())
        self.assertFalse(first["duplicate"])
        again = self.expect(201, self.append(b"x", Idempotency_Key='"1"'))
        self.assertEqual(again, {**first, "duplicate": True})
        self.assertEqual(self.texts(), ["x"])

    def release_all_but_the_last(self) -> None:
        """The key is reserved, and its message is not written."""
        self._holding = True
        self.release()
        self._holding = False
        self.assertEqual(len(self.held), 1)
