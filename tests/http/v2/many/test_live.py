"""Live reads of many queues over v2."""

from __future__ import annotations

import json
from typing import Any

from queuey.core.many import chosen, live_source
from queuey.core.many.chosen import MAX_VIEWS
from queuey.model.reading.cursor import parse_many
from tests.http.api_support import LINES, OTHER, OWNER, SETTINGS
from tests.http.v2.live.test_live import SSE, Event, Follower, LiveTestCase, events
from tests.http.wire_support import Connection, encode_request, held_by_each

ANYBODY: dict[str, str] = {}

ALL = "queue=a&queue=b&queue=q&prefix=room-"
"""Chooses all queues of the tests: a parameter without a value is refused, so none chooses all that there are."""


class ManyLiveCase(LiveTestCase):
    """Follows queues of the application ``app``."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("a", "b", "room-1"):
            self.make(name)

    def follow_many(self, query: str = "", who: Any = OWNER, **fields: str) -> Follower:
        """Begin a live read of what a query chooses."""
        headers = {**who, **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection = self.client.start("GET", f"/v2/app/events?{query}", headers)
        self.turn()
        return Follower(connection)

    def follow_body(self, who: Any = OWNER, accept: str = SSE, **asked: Any) -> Follower:
        """Begin a live read of what a body chooses."""
        headers = {**who, "Accept": accept, "Content-Type": "application/json"}
        connection = self.client.start("POST", "/v2/app/events", headers, json.dumps(asked).encode())
        self.turn()
        return Follower(connection)

    def opened(self, follower: Follower, queues: int, *more: str, not_readable: int = 0) -> list[Event]:
        """The first block, the numbers of queues, and then these events."""
        first, opened, *rest = self.began(follower, "open", *more)
        self.assertEqual(opened.json, {"queues": queues, "not_readable": not_readable})
        self.assertEqual(opened.id, first.id)
        return rest

    def told(self, found: list[Event]) -> list[str]:
        """Messages as queue and body, and other events as their name and what they say of a queue."""
        texts = []
        for event in found:
            if event.data is None:
                continue
            data = event.json
            what = data["body"] if event.name == "message" else f"{event.name} {data.get('change', data.get('why'))}"
            texts.append(f"{data['queue']}:{what}" if "queue" in data else event.name)
        return texts

    def refusal(self, follower: Follower) -> Any:
        return follower.connection.response().json


class FormatTests(ManyLiveCase):
    """What is sent."""

    def test_first_block_and_messages(self) -> None:
        self.appended("old", queue="a")
        follower = self.follow_many("queue=b&queue=a&prefix=room-")
        for field in (f"Content-Type: {SSE}", "Cache-Control: no-store", "X-Accel-Buffering: no"):
            self.assertIn(field, follower.head)
        self.opened(follower, 3, "caught-up")
        for number, name in enumerate(("room-1", "a", "b")):
            self.appended(str(number), queue=name)
        self.turn()
        found = follower.events()
        self.assertEqual(self.told(found), ["room-1:0", "a:1", "b:2"])
        self.assertEqual(list(found[0].json)[:2], ["queue", "id"])
        self.assertEqual({len(str(event.id)) for event in found}, {42})
        follower.connection.hang_up()
        self.nothing_left()

    def test_body(self) -> None:
        follower = self.follow_body(queues=["b", "a"], prefixes=["room-"], start="oldest", limit=1)
        self.opened(follower, 3, "caught-up")
        self.appended("0", queue="b")
        self.turn()
        self.assertEqual(self.told(follower.events()), ["b:0"])

    def test_lines(self) -> None:
        follower = self.follow_body(accept=LINES, prefixes=[""])
        retry, opened, caught_up = follower.lines()
        self.assertEqual([list(retry), list(caught_up)], [["retry", "next"], ["caught_up", "next"]])
        self.assertEqual(opened["open"], {"queues": 4, "not_readable": 0})
        self.appended("0", queue="b")
        self.turn()
        (line,) = follower.lines()
        self.assertEqual((line["message"]["queue"], line["message"]["body"]), ("b", "0"))
        self.turn(16)
        self.assertEqual([list(line) for line in follower.lines()], [["next"]])

    def test_bodies(self) -> None:
        follower = self.follow_many("queue=a&data=body")
        self.appended("text", queue="a")
        self.turn()
        self.assertEqual(follower.events()[-1].data, "text")

    def test_heartbeats(self) -> None:
        """The place moves with the store, also if no chosen queue has a message."""
        follower = self.follow_many("queue=a&prefix=room-")
        places = [follower.events()[-1].id]
        for _ in range(3):
            self.appended("elsewhere", queue="b")
            self.turn(15.1)
            (beat,) = follower.events()
            self.assertIsNone(beat.data)
            places.append(beat.id)
        order = sorted(set(places), key=lambda place: parse_many(str(place)))
        self.assertEqual(places, order)

    def test_head(self) -> None:
        response = self.raw("HEAD", "/events?queue=a")
        self.assertEqual((response.status, response.header("content-type")), (200, SSE))
        self.assertIsNone(response.header("content-length"))
        self.nothing_left()
        self.assertEqual(self.assembly.live.limits._taken, {})

    def test_end(self) -> None:
        """A dump of what is there."""
        self.appended("0", queue="a")
        self.appended("1", queue="room-1")
        follower = self.follow_many(f"{ALL}&start=oldest&end=true&limit=1")
        self.assertTrue(follower.over)
        self.assertEqual(self.told(follower.events()), ["open", "a:0", "room-1:1", "caught-up"])
        self.nothing_left()


class PlaceTests(ManyLiveCase):
    """Where a stream begins and goes on."""

    def test_every_cut(self) -> None:
        """Cut after any event, a client that comes back with its id gets the rest once; with further queues too."""
        for number in range(7):
            self.appended(str(number), queue=("a", "room-1", "b")[number % 3])
        whole = self.follow_many(f"{ALL}&start=oldest&limit=3").events()
        for number in range(1, len(whole)):
            rest = self.follow_many("queue=a&queue=b&prefix=room-", Last_Event_ID=str(whole[number - 1].id)).events()
            found = [text for text in self.told(whole[:number] + rest) if ":" in text]
            self.assertEqual([text.partition(":")[2] for text in found], list("0123456"), number)

    def test_places(self) -> None:
        ids = [self.appended(text, queue=name) for text, name in ("0a", "1b", "2a")]
        for query, expected in (
            (f"after={ids[0]}", ["b:1", "a:2"]),
            ("since=5", ["a:0", "b:1", "a:2"]),
            ("since=newest", []),
            ("since=oldest", ["a:0", "b:1", "a:2"]),
            ("start=oldest", ["a:0", "b:1", "a:2"]),
            (f"after={ids[0]}&start=oldest", ["b:1", "a:2"]),
        ):
            found = self.told(self.follow_many(f"queue=a&queue=b&{query}").events())
            self.assertEqual([text for text in found if ":" in text], expected, query)

    def test_streams_share_a_look(self) -> None:
        """A page at the end is read and rendered once for all who may read the same."""
        followers = [self.follow_many(ALL) for _ in range(30)]
        self.assertEqual(len(self.assembly.live._tails), 1)
        self.assertEqual(self.assembly.waits.waiting, 1)
        self.appended("0", queue="a")
        self.turn()
        self.assertEqual({self.told(follower.events())[-1] for follower in followers}, {"a:0"})
        for follower in followers:
            follower.connection.hang_up()
        self.nothing_left()

    def test_a_burst(self) -> None:
        """More than one page at once, for readers of small pages too."""
        small, large = self.follow_many(f"{ALL}&limit=2"), self.follow_many(ALL)
        for number in range(300):
            self.appended(str(number), queue=("a", "b", "room-1")[number % 3])
        self.turn(1)
        for follower in (small, large):
            texts = [text.partition(":")[2] for text in self.told(follower.events()) if ":" in text]
            self.assertEqual(texts, [str(number) for number in range(300)])

    def test_many_callers(self) -> None:
        """More callers than views are cached."""
        followers = [self.follow_body(OTHER, prefixes=[""]) for _ in range(MAX_VIEWS + 2)]
        self.assertEqual({len(follower.events()) for follower in followers}, {3})


class QueuesTests(ManyLiveCase):
    """Queues that come and go."""

    def test_made_and_deleted(self) -> None:
        follower, other = self.follow_many("prefix=room-"), self.follow_many("queue=a&queue=b")
        self.opened(follower, 1, "caught-up")
        self.opened(other, 2, "caught-up")
        self.make("room-2")
        self.appended("first", queue="room-2")
        self.turn()
        self.assertEqual(self.told(follower.events()), ["room-2:queue made", "room-2:first"])
        self.make("room-3")
        self.turn(1.2)
        self.assertEqual(self.told(follower.events()), ["room-3:queue made"])
        self.assertEqual(self.send("DELETE", "/queues/room-2").status, 204)
        self.turn(1.2)
        self.assertEqual(self.told(follower.events()), ["room-2:queue deleted"])
        self.make("room-2")
        self.turn(1.2)
        self.assertEqual(self.told(follower.events()), ["room-2:queue made"])
        self.assertEqual(other.events(), [])

    def test_a_name_whose_queue_is_deleted(self) -> None:
        """The stream goes on with the others; who comes back is not refused because of it, and who begins is."""
        follower = self.follow_many("queue=a&queue=b")
        place = follower.events()[-1].id
        self.assertEqual(self.send("DELETE", "/queues/b").status, 204)
        self.turn(1.2)
        self.assertEqual(self.told(follower.events()), ["b:queue deleted"])
        self.appended("0", queue="a")
        self.turn(0.2)
        self.assertEqual(self.told(follower.events()), ["a:0"])
        back = self.follow_many("queue=a&queue=b", Last_Event_ID=str(place))
        opened = back.events()[1]
        self.assertEqual(opened.json, {"queues": 1, "not_readable": 0, "missing": 1})
        problem = self.refusal(self.follow_many("queue=a&queue=b"))
        self.assertEqual((problem["code"], problem["errors"][0]["parameter"]), ("no-such-queue", "queue"))
        self.assertEqual(self.refusal(self.follow_many("queue=b", Last_Event_ID=str(place)))["code"], "no-such-queue")
        self.assertEqual(self.refusal(self.follow_body(queues=["a", "b"]))["errors"][0]["pointer"], "/queues/1")

    def test_more_changes_than_are_kept(self) -> None:
        """Then the numbers are sent again."""
        self.patch(chosen, "MAX_CHANGES", 3)
        follower = self.follow_many("prefix=room-")
        self.opened(follower, 1, "caught-up")
        for number in range(2, 9):
            self.make(f"room-{number}")
        self.turn(1.2)
        opened = follower.events()[-1]
        self.assertEqual((opened.name, opened.json["queues"]), ("open", 8))

    def test_closed(self) -> None:
        """The event of its end follows its last message; and when all queues that could get messages are closed, the
        stream ends."""
        follower, growing = self.follow_many("queue=a&queue=b"), self.follow_many("queue=a&prefix=room-")
        self.appended("last", "?close=true", queue="a")
        self.turn(1.2)
        self.assertEqual(self.told(follower.events())[-2:], ["a:last", "a:queue closed"])
        self.assertEqual(self.told(growing.events())[-2:], ["a:last", "a:queue closed"])
        place = growing.events()
        self.expect(200, self.send("PATCH", "/queues/b", {"closed": True}, content_type="application/merge-patch+json"))
        self.turn(1.2)
        found = follower.events()
        self.assertEqual(self.told(found), ["b:queue closed", "closed"])
        self.assertTrue(follower.over)
        self.assertEqual((place, growing.over), ([], False))
        back = self.follow_many("queue=a&queue=b", Last_Event_ID=str(found[-1].id))
        self.assertEqual(back.connection.response().status, 204)
        # A client that comes back from before the end gets the event again.
        old = self.follow_many("queue=a&queue=b&start=oldest")
        self.assertEqual(
            self.told(old.events()), ["open", "a:last", "b:queue closed", "a:queue closed", "caught-up", "closed"]
        )

    def test_gaps(self) -> None:
        ids = [self.appended(str(number), queue=("a", "b")[number % 2]) for number in range(4)]
        place = self.follow_many(f"queue=a&queue=b&after={ids[0]}").events()[2].id
        self.assertEqual(self.send("DELETE", "/queues/b/messages?before=now").status, 204)
        found = self.follow_many(f"queue=a&queue=b&after={ids[0]}").events()
        self.assertEqual(self.told(found), ["open", "b:gap purged", "a:2", "caught-up"])
        self.assertEqual((found[2].json["resume"], len(found[2].json["first"])), ("truncated", 42))
        self.assertEqual(self.told(self.follow_many("queue=a&queue=b&start=oldest").events())[1:3], ["a:0", "a:2"])
        self.assertIsNotNone(place)

    def test_expired(self) -> None:
        """A queue whose messages may have expired unread is named once; a reader at the end gets no such event."""
        self.make("brief", ttl=5)
        follower = self.follow_many("queue=a&queue=brief")
        place = follower.events()[-1].id
        for _ in range(4):
            self.turn(20)
            self.appended("x", queue="brief")
            self.turn()
            self.assertEqual(self.told(follower.events()), ["brief:x"])
        self.turn(20)
        found = self.follow_many("queue=a&queue=brief&limit=1", Last_Event_ID=str(place)).events()
        self.assertEqual(self.told(found), ["open", "brief:gap expired", "caught-up"])

    def test_more_gaps_than_are_named(self) -> None:
        self.patch(live_source, "MAX_GAPS", 1)
        id = self.appended("0", queue="a")
        for name in ("a", "b", "room-1"):
            self.appended("1", queue=name)
            self.assertEqual(self.send("DELETE", f"/queues/{name}/messages?before=now").status, 204)
        found = [event for event in self.follow_many(f"{ALL}&after={id}").events() if event.name == "gap"]
        self.assertEqual(len(found), 2)
        self.assertEqual(found[1].json, {"resume": "truncated", "left_out": 2})


class LimitsTests(ManyLiveCase):
    settings = SETTINGS + "[application:app]\nmax_live = 2\nmax_queue_live = 1\n"

    def test_limits(self) -> None:
        """They count for the application, and for no queue alone; errors=events tells of it in a stream."""
        followers = [self.follow_many("queue=a") for _ in range(2)]
        self.assertEqual(self.refusal(self.follow_many("queue=a"))["limit"], "max_live")
        last = self.follow_many("queue=a&errors=events").connection.response(only_json=False)
        self.assertEqual(
            (last.status, [event.name for event in events(last.body.decode())]), (200, ["message", "problem"])
        )
        followers[0].connection.hang_up()
        self.opened(self.follow_many("queue=a"), 1, "caught-up")


class StalledTests(ManyLiveCase):
    """Clients that take nothing."""

    def begin(self) -> Connection:
        connection = Connection(self.assembly.site)
        connection.transport.greedy = False
        connection.send(encode_request("GET", f"/v2/app/events?{ALL}&start=oldest", OWNER))
        self.turn()
        return connection

    def test_one_page(self) -> None:
        """One page is held for a client, however much there is in however many queues; afterwards it gets all."""
        queues = ("a", "b", "room-1", "q")
        for number in range(400):
            self.appended(f"{number} ".ljust(20_000, "x"), queue=queues[number % 4])
        self.begin().hang_up()
        held, connections = held_by_each(self.begin, lambda: self.turn(20))
        self.assertLess(held, 2 << 20)
        for connection in connections[1:]:
            self.assertLess(len(connection.received), 1 << 20)
            connection.hang_up()
        size = -1
        while size < len(connections[0].received):
            size = len(connections[0].received)
            connections[0].transport.read()
            self.turn()
        texts = [text for text in self.told(Follower(connections[0]).events()) if ":" in text]
        self.assertEqual([int(text.partition(":")[2].split()[0]) for text in texts], list(range(400)))
