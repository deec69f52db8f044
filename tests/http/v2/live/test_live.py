"""Live reads of one queue over v2: what is sent, in which format, and when a stream ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

from queuey.model.reading.cursor import parse
from tests.http.api_support import LINES, OWNER, MessagesTestCase
from tests.http.wire_support import Connection

SSE = "text/event-stream"


@attrs.frozen
class Event:
    """One event as an EventSource sees it; ``id`` is what it would send as Last-Event-ID after it."""

    name: str
    data: str | None
    id: str | None
    retry: int | None = None

    @property
    def json(self) -> Any:
        assert self.data is not None
        return json.loads(self.data)


def chunks(data: bytes) -> Iterator[bytes]:
    """The chunks that have come whole."""
    while data:
        size, end, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if not end or len(rest) < length + 2:
            return
        yield rest[:length]
        data = rest[length + 2 :]


def events(text: str) -> list[Event]:
    """Read a stream as the HTML standard says, section 9.2.6; comments are left out."""
    found = []
    for block in text.split("\n\n")[:-1]:
        name, data, id, retry = "message", [], None, None
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                id = value
            elif field == "retry":
                retry = int(value)
        if data or id is not None or retry is not None:
            found.append(Event(name, "\n".join(data) if data else None, id, retry))
    return found


class Follower:
    """A client of a live read, which has received so far what the connection has."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._seen = 0

    @property
    def head(self) -> str:
        head: bytes = self.connection.received.partition(b"\r\n\r\n")[0]
        return head.decode("ascii")

    @property
    def text(self) -> str:
        return b"".join(chunks(self.connection.received.partition(b"\r\n\r\n")[2])).decode("utf-8")

    @property
    def over(self) -> bool:
        return bool(self.connection.received.endswith(b"0\r\n\r\n"))

    def events(self) -> list[Event]:
        """What has come since the last call."""
        found = events(self.text)
        new, self._seen = found[self._seen :], len(found)
        return new

    def lines(self) -> list[Any]:
        """The same of a stream of lines."""
        found = [json.loads(line) for line in self.text.split("\n")[:-1]]
        new, self._seen = found[self._seen :], len(found)
        return new


class LiveTestCase(MessagesTestCase):
    """Follows the queue ``q``."""

    def setUp(self) -> None:
        super().setUp()
        self.timers = len(self.clock.getDelayedCalls())

    def follow(self, query: str = "", queue: str = "q", **fields: str) -> Follower:
        """Begin a live read."""
        headers = {**OWNER, **{name.replace("_", "-"): value for name, value in fields.items()}}
        path = f"/v2/app/queues/{queue}/events{query and '?'}{query}"
        connection = self.client.start("GET", path, headers)
        self.turn()
        return Follower(connection)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time go by, and everything happen that is due."""
        steps = max(5, round(seconds / 0.1))
        self.clock.pump([seconds / steps] * steps)

    def began(self, follower: Follower, *more: str) -> list[Event]:
        """The first block, and then these events."""
        first, *rest = follower.events()
        self.assertEqual((first.name, first.data), ("message", None))
        self.assertIsNotNone(first.id)
        self.assertTrue(2000 <= (first.retry or 0) <= 4000)
        self.assertEqual([event.name for event in rest], list(more))
        return [first, *rest]

    def shown(self, found: list[Event]) -> list[str]:
        return [event.json["body"] for event in found if event.name == "message" and event.data is not None]

    def nothing_left(self) -> None:
        """No stream, no tail, no waiting reader and no timer is left."""
        live, waits = self.assembly.live, self.assembly.waits
        self.assertEqual((len(live), live._tails, waits.waiting, waits._queues), (0, {}, 0, {}))
        self.assertLessEqual(len(self.clock.getDelayedCalls()), self.timers)


class FormatTests(LiveTestCase):
    """What is sent."""

    def test_first_block(self) -> None:
        """The status, the fields, the time after which to come back, and the place, before anything else."""
        self.appended("old")
        follower = self.follow()
        self.assertRegex(follower.head, r"\AHTTP/1\.1 200 OK\r\n")
        for field in (f"Content-Type: {SSE}", "Cache-Control: no-store", "X-Accel-Buffering: no"):
            self.assertIn(field, follower.head)
        first, caught_up = self.began(follower, "caught-up")
        self.assertEqual(caught_up.id, first.id)
        self.assertRegex(caught_up.json["stable_until"], r"\A2023-11-14T22:13:20")
        follower.connection.hang_up()
        self.nothing_left()

    def test_message(self) -> None:
        """A message comes as a page has it, with the cursor after it."""
        follower = self.follow()
        self.began(follower, "caught-up")
        self.appended("a")
        self.appended("b\n\nevent: forged")
        self.turn()
        found = follower.events()
        page = self.page()
        self.assertEqual([event.json for event in found], page["messages"])
        self.assertEqual([event.name for event in found], ["message"] * 2)
        self.assertEqual(self.texts(f"after={found[0].id}"), ["b\n\nevent: forged"])
        self.assertEqual(self.texts(f"after={found[1].id}"), [])
        follower.connection.hang_up()
        self.nothing_left()

    def test_lines(self) -> None:
        """The same as lines."""
        follower = self.follow("start=oldest", Accept=LINES)
        self.appended("a")
        self.turn()
        self.assertIn(f"Content-Type: {LINES}", follower.head)
        first, caught_up, message = follower.lines()
        self.assertEqual(
            (list(first), list(caught_up), list(message)),
            (["retry", "next"], ["caught_up", "next"], ["message", "next"]),
        )
        self.assertEqual(message["message"]["body"], "a")
        self.turn(16)
        (beat,) = follower.lines()
        self.assertEqual(list(beat), ["next"])
        self.assertLess(parse(message["next"]).position, parse(beat["next"]).position)
        follower.connection.hang_up()
        self.nothing_left()

    def test_bodies(self) -> None:
        """Bodies alone: text as lines of data, other bytes as base64."""
        follower = self.follow("data=body")
        self.appended("one\r\ntwo\rthree\n")
        self.appended(b"\xff\xfe")
        self.turn()
        text, binary = self.began(follower, "caught-up", "message", "base64")[2:]
        self.assertEqual((text.data, binary.data), ("one\ntwo\nthree\n", "//4="))
        follower.connection.hang_up()
        self.nothing_left()

    def test_heartbeats(self) -> None:
        """Each 15 seconds there is a block with the place, by which an idle queue is not taken for one with a gap."""
        follower = self.follow()
        first = self.began(follower, "caught-up")[0]
        ids = [first.id]
        self.make("p")
        self.turn(15.1)
        self.assertEqual((follower.events(), follower.text[-4:]), ([], "\n:\n\n"))
        for _ in range(4):
            self.appended("a", queue="p")
            self.turn(15.1)
            (beat,) = follower.events()
            self.assertEqual((beat.name, beat.data), ("message", None))
            ids.append(beat.id)
        self.assertEqual(ids, sorted(set(ids), key=lambda id: parse(str(id)).position))
        follower.connection.hang_up()
        self.nothing_left()

    def test_head(self) -> None:
        """HEAD has the fields, and no stream."""
        response = self.raw("HEAD", "/queues/q/events")
        self.assertEqual((response.status, response.header("content-type")), (200, SSE))
        self.assertIsNone(response.header("content-length"))
        self.nothing_left()


class PlaceTests(LiveTestCase):
    """Where a stream begins and goes on."""

    def test_start(self) -> None:
        """At the newest by default; at the oldest on request."""
        self.appended("old")
        newest, oldest = self.follow(), self.follow("start=oldest")
        self.appended("new")
        self.turn()
        self.assertEqual(self.shown(newest.events()), ["new"])
        self.assertEqual(self.shown(oldest.events()), ["old", "new"])

    def test_after(self) -> None:
        """After a cursor or an id; Last-Event-ID comes before both."""
        ids = [self.appended(text) for text in "abc"]
        cursor = self.page("limit=2")["next"]
        for query, fields, expected in (
            (f"after={ids[0]}", {}, ["b", "c"]),
            (f"after={cursor}", {}, ["c"]),
            (f"after={ids[0]}", {"Last_Event_ID": cursor}, ["c"]),
            ("since=5", {"Last_Event_ID": ids[1]}, ["c"]),
            ("since=5", {}, ["a", "b", "c"]),
            (f"since={1_700_000_100}", {}, []),
            ("start=oldest", {"Last_Event_ID": ""}, ["a", "b", "c"]),
        ):
            follower = self.follow(query, **fields)
            self.assertEqual(self.shown(follower.events()), expected, (query, fields))
            follower.connection.hang_up()
        self.nothing_left()

    def test_every_cut(self) -> None:
        """Cut after any event, a client that comes back with its id gets the rest, once."""
        self.batch([{"body": str(number)} for number in range(7)])
        whole = self.follow("start=oldest&limit=3").events()
        for number in range(1, len(whole)):
            rest = self.follow(Last_Event_ID=str(whole[number - 1].id))
            seen = self.shown(whole[:number]) + self.shown(rest.events())
            self.assertEqual(seen, list("0123456"), number)

    def test_partitions(self) -> None:
        """Some partitions, or all, also those that are added."""
        self.make("p", partitions=2)
        all, one = self.follow(queue="p"), self.follow("partition=2", queue="p")
        self.appended("1", "?partition=1", queue="p")
        self.appended("2", "?partition=2", queue="p")
        self.turn()
        self.expect(200, self.send("PUT", "/queues/p", {"partitions": 3}))
        self.appended("3", "?partition=3", queue="p")
        self.turn(1)
        self.assertEqual(self.shown(all.events()), ["1", "2", "3"])
        self.assertEqual(self.shown(one.events()), ["2"])

    def test_gap_purged(self) -> None:
        """A client that comes back learns what was purged before it has read it."""
        ids = [self.appended(text) for text in "abc"]
        self.assertEqual(self.send("DELETE", self.path(f"?before={ids[2]}")).status, 204)
        follower = self.follow(f"after={ids[0]}")
        first, gap, message, _ = self.began(follower, "gap", "message", "caught-up")
        self.assertEqual((gap.json["queue"], gap.json["resume"], gap.json["why"]), ("q", "truncated", "purged"))
        self.assertEqual((gap.id, message.json["body"]), (first.id, "c"))
        self.assertEqual(self.texts(f"after={gap.json['first']}"), ["c"])
        self.began(self.follow("start=oldest"), "message", "caught-up")

    def test_gap_expired(self) -> None:
        """A client that was away for longer than messages live learns that; one that has stayed does not."""
        self.make("short", ttl=20)
        id = self.appended("a", queue="short")
        stays = self.follow(queue="short")
        self.turn(60)
        self.assertEqual([event.name for event in stays.events() if event.data], ["caught-up"])
        _, gap, _ = self.began(self.follow(f"after={id}", queue="short"), "gap", "caught-up")
        self.assertEqual(gap.json["why"], "expired")
        beats = self.follow(Last_Event_ID=str(events(stays.text)[-1].id), queue="short")
        self.began(beats, "caught-up")

    def test_no_gap_for_short_lives(self) -> None:
        """A queue whose messages live for two seconds only is looked at often enough to know that nothing is missed."""
        self.make("short", ttl=2)
        follower = self.follow(queue="short")
        self.turn(40)
        self.appended("a", queue="short")
        self.turn(1)
        self.assertEqual([event.name for event in follower.events() if event.data], ["caught-up", "message"])


class RefusalTests(LiveTestCase):
    """What is refused."""

    def test_parameters(self) -> None:
        """Each parameter is checked."""
        for query, parameter in (
            ("start=now", "start"), ("after=x&since=5", "since"), ("limit=0", "limit"), ("max_bytes=0", "max_bytes"),
            ("partition=2", "partition"), ("data=x", "data"), ("errors=x", "errors"), ("order=desc", "order"),
            ("end=yes", "end"), ("fresh=1", "fresh"),
        ):  # fmt: skip
            response = self.send("GET", f"/queues/q/events?{query}")
            self.assertEqual(
                [error["parameter"] for error in self.problem("invalid-parameters", response)["errors"]], [parameter]
            )
        self.problem("invalid-cursor", self.send("GET", "/queues/q/events?after=abc"))
        self.nothing_left()

    def test_replaced(self) -> None:
        """The cursor of a queue that was deleted is 410, as it is for pages."""
        cursor = self.page()["next"]
        self.send("DELETE", "/queues/q")
        self.make("q")
        response = self.client.request("GET", "/v2/app/queues/q/events", {**OWNER, "Last-Event-ID": cursor})
        self.assertIn("oldest", self.problem("queue-replaced", response))

    def test_nobody(self) -> None:
        """A caller without access is refused with a status."""
        self.problem("unauthorized", self.client.request("GET", "/v2/app/queues/q/events", {}))
        self.problem("no-such-queue", self.send("GET", "/queues/nothing/events"))
