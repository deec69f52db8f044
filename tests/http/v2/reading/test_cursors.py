"""Cursors over v2: where a read goes on, and how gaps are reported."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from twisted.internet.defer import Deferred

from queuey.model.timeid import from_seconds, make
from tests.http.api_support import BATCH, NOW, OWNER
from tests.http.v2.reading.test_pages import ReadingTestCase


class CursorTests(ReadingTestCase):
    """Where a page goes on."""

    def test_walk(self) -> None:
        """Neither skips nor repeats, whatever the pages."""
        ids = self.fill(20)
        for limit in (1, 2, 3, 7, 19, 20, 21):
            self.assertEqual(self.all(f"limit={limit}"), ids)
            self.assertEqual(self.all(f"limit={limit}&order=desc"), ids[::-1])
            self.assertEqual(self.by_links(f"limit={limit}"), ids)
            self.assertEqual(self.by_links(f"order=desc&limit={limit}"), ids[::-1])

    def test_same_moment(self) -> None:
        """Though all partitions have messages of one batch, and the clock stands still."""
        stored = self.expect(201, self.batch([{"body": "x", "partition": number % 3 + 1} for number in range(50)]))
        ids = [message["id"] for message in stored["messages"]]
        for query in ("limit=1", "limit=4", "max_bytes=3"):
            self.assertEqual(self.all(query), ids)
            self.assertEqual(self.all(f"{query}&order=desc"), ids[::-1])

    def test_goes_on_later(self) -> None:
        """The last page has a cursor as well; what comes after it comes then."""
        ids = self.fill(3)
        page = self.page()
        self.assertEqual(([m["id"] for m in page["messages"]], page["more"]), (ids, False))
        for _ in range(2):
            again = self.page(f"after={page['next']}")
            self.assertEqual((again["messages"], again["more"], again["resume"]), ([], False, "exact"))
        more = self.fill(4, 3)
        self.assertEqual(self.ids(f"after={page['next']}"), more)
        self.assertEqual(self.ids(f"after={again['next']}"), more)

    def test_new_messages_while_descending(self) -> None:
        """Who goes back does not meet what is new; at the oldest it ends, also when asked again."""
        ids = self.fill(6)
        page = self.page("order=desc&limit=4")
        self.fill(3, 6)
        rest = self.page(f"order=desc&limit=4&after={page['next']}")
        self.assertEqual([m["id"] for m in rest["messages"]], ids[1::-1])
        self.assertEqual((rest["more"], rest["resume"]), (False, "exact"))
        end = self.page(f"order=desc&after={rest['next']}")
        self.assertEqual((end["messages"], end["more"], end["resume"]), ([], False, "exact"))

    def test_id(self) -> None:
        """An id is a cursor too, whether or not it is there, and of any queue."""
        ids = self.fill(6)
        self.assertEqual(self.ids(f"after={ids[2]}"), ids[3:])
        self.assertEqual(self.ids(f"after={ids[2].upper()}"), ids[3:])
        self.assertEqual(self.ids(f"after={ids[2]}&order=desc"), ids[1::-1])
        self.assertEqual(self.ids(f"after={ids[2]}&partition=1"), ids[3::3])
        self.assertEqual(self.one(ids[2], "DELETE").status, 204)
        self.assertEqual(self.ids(f"after={ids[2]}"), ids[3:])
        self.assertEqual(self.all(f"after={ids[2]}"), ids[3:])
        for partition in (1, 200):
            absent = f"{make(from_seconds(NOW + 3.5), 1, 2).hex()}-{partition}"
            self.assertEqual(self.ids(f"after={absent}"), ids[4:])
            self.assertEqual(self.ids(f"after={absent}&order=desc"), [ids[3], ids[1], ids[0]])
        self.make("p")
        other = self.appended("x", queue="p")
        last = self.appended("x")
        self.assertEqual(self.ids(f"after={other}"), [last])

    def test_until(self) -> None:
        """It holds on every page."""
        ids = self.fill(10)
        self.assertEqual(self.all("limit=2&until=1700000007"), ids[:7])
        self.assertEqual(self.all("limit=2&until=1700000007&order=desc"), ids[6::-1])
        self.assertEqual(self.by_links("limit=2&until=1700000007&since=1700000003"), ids[3:7])

    def test_since_of_a_descending_reader(self) -> None:
        """It is in the cursor, since it cannot be given again."""
        ids = self.fill(10)
        self.assertEqual(self.all("limit=3&since=1700000003&order=desc"), ids[:2:-1])
        page = self.page("limit=100&since=1700000003&order=desc")
        end = self.page(f"order=desc&after={page['next']}")
        self.assertEqual((end["messages"], end["more"], end["resume"]), ([], False, "exact"))

    def test_links_keep_the_rest(self) -> None:
        """A link is the same read again, from there, however it was written."""
        ids = self.fill(6)
        self.assertEqual(self.by_links("limit=2&partition=1&%70artition=2&wait=0&fresh=false&max_bytes=100"),
                         [id for number, id in enumerate(ids) if number % 3 < 2])  # fmt: skip
        self.assertEqual(self.by_links(f"%61fter={ids[0]}&limit=2"), ids[1:])
        self.assertEqual(self.by_links("s%69nce=1700000001&limit=2"), ids[1:])

    def test_mismatch(self) -> None:
        """A cursor is of one order, and of some partitions."""
        self.fill(9)
        cursors = {
            query: self.page(f"limit=2&{query}")["next"]
            for query in ("order=asc", "order=desc", "partition=1", "partition=1&partition=2&partition=3")
        }
        same = {"order=asc": "order=asc&fresh=true&limit=1", "partition=1": "partition=1&partition=1&until=1800000000"}
        for given, cursor in cursors.items():
            for query in cursors:
                if query == given:
                    self.page(f"{same.get(query, query)}&after={cursor}")
                else:
                    problem = self.problem("cursor-mismatch", self.send("GET", self.path(f"?{query}&after={cursor}")))
                    self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))

    def test_damaged(self) -> None:
        """One that is not whole is refused, and says so; nothing is ever read from a wrong place."""
        ids = self.fill(3)
        whole = self.page("limit=2")["next"]
        damaged = [whole[:-1], whole[1:], whole + "A", whole + "=", whole[:10] + whole[11:], whole * 20, "x", "AAAA",
                   "-", "A" * 512, "A" * 513, "%00", "%C3%A9", whole[:5] + "%20" + whole[5:], whole + "%0A",
                   ids[0][:-2], f"{ids[0]}x", f"{ids[0][:-1]}0", f"{ids[0][:-1]}201", "0" * 32 + "-1",
                   self.read("/v1/app/q", "partitions=1")[0]["message_id"]]  # fmt: skip
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for at in range(len(whole)):
            other = alphabet[(alphabet.index(whole[at]) + 1) % 64]
            damaged.append(whole[:at] + other + whole[at + 1 :])
        for cursor in damaged:
            problem = self.problem("invalid-cursor", self.send("GET", self.path(f"?after={cursor}")))
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
        self.assertEqual(self.ids(f"after={whole}"), ids[2:])

    def test_replaced(self) -> None:
        """A cursor of an earlier life goes on at the oldest of the present one, if the client likes."""
        self.fill(4)
        for query in ("limit=2", "limit=2&order=desc", "limit=2&partition=1", "limit=2&order=desc&since=1700000001"):
            rest = "&".join(part for part in query.split("&") if not part.startswith("since"))
            cursor = self.page(query)["next"]
            self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
            self.problem("no-such-queue", self.send("GET", self.path(f"?{rest}&after={cursor}")))
            self.make("q", partitions=3)
            ids = self.fill(6)
            problem = self.problem("queue-replaced", self.send("GET", self.path(f"?{rest}&after={cursor}")))
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
            self.assertRegex(problem["oldest"], r"\A[A-Za-z0-9_-]{1,512}\Z")
            expected = [id for id in ids if "partition" not in query or id.endswith("-1")]
            if "desc" in query:
                expected.reverse()
            found = [m["id"] for page in self.walk(rest, problem["oldest"]) for m in page["messages"]]
            self.assertEqual(found, expected)

    def test_other_queue(self) -> None:
        """A cursor of another queue is recognised."""
        self.make("p")
        cursor = self.page(queue="p")["next"]
        self.problem("queue-replaced", self.send("GET", self.path(f"?after={cursor}")))

    def test_more_partitions(self) -> None:
        """A reader of all partitions reads those that are added too."""
        self.fill(3)
        page = self.page("limit=2")
        self.expect(200, self.send("PUT", "/queues/q", {"partitions": 5}))
        id = self.appended("new", "?partition=5")
        self.assertEqual(self.texts(f"after={page['next']}"), ["2", "new"])
        self.assertEqual(self.ids("partition=5"), [id])

    def test_more_partitions_meanwhile(self) -> None:
        """Nor does a read pass them over that had begun when they were added."""
        merge = self.store.read_merged
        held: Deferred[None] = Deferred()
        self.store.read_merged = lambda *given: held.addCallback(lambda _: merge(*given))  # type: ignore[method-assign]
        connection = self.client.start("GET", f"/v2/app{self.path()}", OWNER)
        self.store.read_merged = merge  # type: ignore[method-assign]
        self.expect(200, self.send("PUT", "/queues/q", {"partitions": 5}))
        ids = [self.appended("new", "?partition=5"), self.appended("old", "?partition=1")]
        held.callback(None)
        page = self.expect(200, connection.response())
        found = [message["id"] for message in page["messages"]]
        self.assertEqual([*found, *self.ids(f"after={page['next']}")], ids)

    def test_most_partitions(self) -> None:
        """A cursor is short, however many partitions there are and are named."""
        self.make("wide", partitions=200)
        batch = {"messages": [{"body": "x"}] * 500}
        stored = self.expect(201, self.send("POST", self.path(queue="wide"), batch, OWNER, BATCH))["messages"]
        ids = [message["id"] for message in stored]
        some = "&".join(f"partition={number}" for number in range(2, 201))
        for query in ("order=asc", "order=desc", f"{some}&order=desc&since=1700000000", some):
            rest, after, found = query.replace("&since=1700000000", ""), "", []
            for _ in range(10):
                page = self.page(f"{rest if after else query}&limit=99{after}", "wide")
                found += [message["id"] for message in page["messages"]]
                after = f"&after={page['next']}"
            wanted = [id for id in ids if query.startswith("order") or not id.endswith("-1")]
            self.assertEqual(found, sorted(wanted, reverse="desc" in query))

    def test_deleted_messages(self) -> None:
        """What is deleted while a reader goes on is not there; all else is, once."""
        ids = self.fill(10)
        page = self.page("limit=4")
        for number in (2, 3, 4, 5, 9):
            self.assertEqual(self.one(ids[number], "DELETE").status, 204)
        self.assertEqual(self.ids(f"after={page['next']}"), ids[6:9])


class ResumeTests(ReadingTestCase):
    """Whether a reader has missed something."""

    def purge(self, before: str) -> None:
        self.assertEqual(self.send("DELETE", self.path(f"?before={before}")).status, 204)

    def test_purged(self) -> None:
        """A purge that passed the cursor is reported, with where the reader goes on; one behind it is not."""
        ids = self.fill(10)
        cursors = [self.page("limit=2")["next"], self.page("limit=6")["next"]]
        self.purge(ids[5])
        page = self.page(f"after={cursors[0]}")
        self.assertEqual((page["resume"], [m["id"] for m in page["messages"]]), ("truncated", ids[5:]))
        self.assertEqual(self.ids(f"after={page['first']}"), ids[5:])
        self.assertEqual(self.page(f"after={page['first']}")["resume"], "exact")
        self.assertEqual(self.page(f"after={page['next']}")["resume"], "exact")
        page = self.page(f"after={cursors[1]}")
        self.assertEqual((page["resume"], [m["id"] for m in page["messages"]]), ("exact", ids[6:]))
        self.assertEqual(self.page(f"after={ids[1]}")["resume"], "truncated")
        self.assertEqual(self.page(f"after={ids[5]}")["resume"], "exact")
        self.assertEqual(self.page()["resume"], "exact")
        self.assertEqual(self.page(f"since={NOW}")["resume"], "exact")

    def test_all_purged(self) -> None:
        """Also where nothing is left."""
        self.fill(4)
        cursor = self.page("limit=2")["next"]
        self.purge("now")
        page = self.page(f"after={cursor}")
        self.assertEqual((page["messages"], page["resume"]), ([], "truncated"))
        for name in ("first", "next"):
            again = self.page(f"after={page[name]}")
            self.assertEqual((again["messages"], again["resume"]), ([], "exact"))
        new = self.fill(2, 4)
        for name in ("first", "next"):
            self.assertEqual(self.ids(f"after={page[name]}"), new)

    def test_descending(self) -> None:
        """Who goes back has missed what was purged before it came there."""
        ids = self.fill(10)
        cursors = [self.page(f"order=desc&limit={limit}")["next"] for limit in (2, 6, 10)]
        self.purge(ids[5])
        page = self.page(f"order=desc&after={cursors[0]}")
        self.assertEqual([m["id"] for m in page["messages"]], ids[7:4:-1])
        self.assertEqual(self.page(f"order=desc&after={cursors[1]}")["resume"], "truncated")
        end = self.page(f"order=desc&after={cursors[2]}")
        self.assertEqual((end["messages"], end["more"], end["resume"]), ([], False, "exact"))
        self.assertEqual(self.page("order=desc")["resume"], "exact")

    def test_kept(self) -> None:
        """A cursor that is older than messages are kept may have missed some."""
        self.make("short", ttl=10)
        self.appended("a", queue="short")
        cursor = self.page(queue="short")["next"]
        self.clock.advance(5)
        self.appended("b", queue="short")
        self.assertEqual(self.page(f"after={cursor}", "short")["resume"], "exact")
        self.clock.advance(20)
        self.appended("c", queue="short")
        page = self.page(f"after={cursor}", "short")
        self.assertEqual(([m["body"] for m in page["messages"]], page["resume"]), (["c"], "truncated"))
        for name, texts in (("first", ["c"]), ("next", [])):
            again = self.page(f"after={page[name]}", "short")
            self.assertEqual(([m["body"] for m in again["messages"]], again["resume"]), (texts, "exact"))

    def test_first(self) -> None:
        """The first that is left comes again from there, whichever the order and the partition."""
        self.make("wide", partitions=200, ttl=10)
        for partition in (1, 200, 1, 200):
            self.appended(str(partition), f"?partition={partition}&ttl=1000", "wide")
        for order, limits in (("asc", (1, 2, 3)), ("desc", (1, 2, 3))):
            cursors = [self.page(f"order={order}&limit={limit}", "wide")["next"] for limit in limits]
            self.clock.advance(100)
            self.appended("new", "?ttl=1", "wide")
            self.clock.advance(2)
            for cursor in cursors:
                page = self.page(f"order={order}&limit=1&after={cursor}", "wide")
                self.assertEqual(page["resume"], "truncated")
                again = self.page(f"order={order}&limit=1&after={page['first']}", "wide")
                self.assertEqual(again["messages"], page["messages"])

    def test_nothing_came(self) -> None:
        """A cursor at the end of a log is good for ever: nothing was missed."""
        self.make("short", ttl=10)
        self.appended("a", queue="short")
        cursor = self.page(queue="short")["next"]
        self.clock.advance(1000)
        page = self.page(f"after={cursor}", "short")
        self.assertEqual((page["messages"], page["resume"]), ([], "exact"))


class RandomTests(ReadingTestCase):
    """Readers beside writers, at random."""

    def test_readers(self) -> None:
        """Each message is read once, in order, by every reader, however both go on."""
        for seed in range(3):
            self.one_run(Random(seed), f"run{seed}")

    def one_run(self, random: Random, queue: str) -> None:
        self.make(queue, partitions=3)
        stored: list[str] = []
        readers = [_Reader(partitions) for partitions in (None, None, None, (1,), (2, 3))]
        for _ in range(150):
            if random.random() < 0.5:
                stored += self.write(random, queue)
            else:
                self.read_on(random.choice(readers), random, queue)
            if random.random() < 0.3:
                self.clock.advance(random.choice((0, 0.001, 1, 10)))
        self.clock.advance(100)
        for reader in readers:
            while self.read_on(reader, random, queue):
                pass
            expected = [id for id in sorted(stored) if reader.partitions is None or int(id[33:]) in reader.partitions]
            self.assertEqual(reader.seen, expected)
        backwards = [id for page in self.pages_back(random, queue) for id in page]
        self.assertEqual(backwards, sorted(stored, reverse=True))

    def write(self, random: Random, queue: str) -> list[str]:
        """Some messages, some of them later, one or many at once; their ids."""
        batch = [
            {"body": "x" * random.randrange(30), "partition": random.randrange(1, 4)}
            | ({"delay": random.choice((0.0001, 0.5, 5, 50))} if random.random() < 0.3 else {})
            for _ in range(random.choice((1, 1, 2, 9)))
        ]
        response = self.send("POST", self.path(queue=queue), {"messages": batch}, OWNER, BATCH)
        return [message["id"] for message in self.expect(201, response)["messages"]]

    def read_on(self, reader: _Reader, random: Random, queue: str) -> bool:
        """One page more; whether there was anything on it."""
        query = f"limit={random.choice((1, 2, 5, 100))}&max_bytes={random.choice((1, 30, 1000))}"
        query += "".join(f"&partition={number}" for number in reader.partitions or ())
        page = self.page(query + (f"&after={reader.next}" if reader.next else ""), queue)
        self.assertEqual(page["resume"], "exact")
        reader.next = page["next"]
        reader.seen += [message["id"] for message in page["messages"]]
        return bool(page["messages"]) or page["more"]

    def pages_back(self, random: Random, queue: str) -> Iterator[list[str]]:
        after = ""
        while True:
            page = self.page(f"order=desc&limit={random.choice((1, 3, 20))}{after}", queue)
            yield [message["id"] for message in page["messages"]]
            if not page["more"]:
                return
            after = f"&after={page['next']}"


class _Reader:
    """A reader and how far it has come."""

    def __init__(self, partitions: tuple[int, ...] | None) -> None:
        self.partitions = partitions
        self.next = ""
        self.seen: list[str] = []
