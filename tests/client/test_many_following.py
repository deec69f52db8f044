"""Readers that follow many queues by one live read, and by waits before servers that have none of many queues."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Client, Gap, Invalid, Message, NotAllowed, NotFound
from queuey_client.sync.transport import Driver
from tests.client.live_support import LiveServer, Piece, begun, caught_up, lines, refusal
from tests.client.support import LOST, message, problem
from tests.client.test_many import many
from tests.client.test_reading import MemoryCursors


def came(queue: str, number: int) -> Mapping[str, Any]:
    """A message of a queue; the place after it is ``p`` and its number."""
    return {"message": {**message(number), "queue": queue}, "next": f"p{number}"}


def gap(place: str, **told: Any) -> Mapping[str, Any]:
    """Messages are gone."""
    return {"gap": {"resume": "truncated", "why": "purged", **(told or {"queue": "b"})}, "next": place}


def client_of(server: LiveServer) -> Client:
    """A client of a server that is a list of connections and answers."""
    client = Client("http://server", "shop", key="k", transport=server)
    client._session, client._driver = server.session(), Driver(server, server.sleep)
    return client


def shown(messages: Iterator[Message], count: int | None = None) -> list[tuple[str, str]]:
    """The queues and the places of messages."""
    return [(each.queue, each.place) for each in islice(messages, count)]


def live(*pieces: Piece, replies: Sequence[Answer] = ()) -> LiveServer:
    """A server with one connection."""
    return LiveServer(list(pieces), replies=replies)


class ManyFollowingTests(SynchronousTestCase):
    """One connection for all queues."""

    def test_it_goes_on_at_the_place_of_all_queues(self) -> None:
        made = {"queue": {"queue": "c", "change": "made"}, "next": "p1"}
        server = LiveServer(
            [lines(begun(), {"open": {"queues": 1, "not_readable": 0}, "next": "p0"}, came("a", 1), made), LOST],
            [lines(begun("p1"), came("c", 2), caught_up("p2"), {"next": "p9"}), lines(came("a", 10)), LOST],
            [lines(begun("p10"), came("a", 11)), None],
        )
        found = client_of(server).follow(["a"], prefix="c", start="oldest")
        self.assertEqual(shown(found, 4), [("a", "p1"), ("c", "p2"), ("a", "p10"), ("a", "p11")])
        found.close()  # type: ignore[attr-defined]
        choice = {"queues": ["a"], "prefixes": ["c"]}
        wanted = [{**choice, "start": "oldest"}, {**choice, "after": "p1"}, {**choice, "after": "p10"}]
        self.assertEqual((server.queries, server.left_open), (wanted, 0))
        self.assertEqual(set(server.paths), {"/v2/shop/events"})

    def test_a_place_that_was_kept(self) -> None:
        server = live(lines(begun(), came("a", 1), came("b", 2), caught_up("p5")))
        cursors = MemoryCursors()
        cursors.places["r"] = "mine"
        found = client_of(server).follow(["a", "b"], reader="r", cursors=cursors, idle=0)
        self.assertEqual(len(shown(found)), 2)
        self.assertEqual((server.queries[0]["after"], cursors.load("r")), ("mine", "p5"))

    def test_a_gap_comes_after_the_messages_of_other_queues(self) -> None:
        """The live read stops before it, and a page tells of it."""
        pieces = lines(begun(), came("a", 1), gap("p1"), came("a", 3))
        server = live(pieces, replies=[many(("a", 3), ("b", 5), next="p6", gaps=("b",))])
        found = client_of(server).follow(["a", "b"], start="p0")
        self.assertEqual(shown(found, 3), [("a", "p1"), ("a", "place-3"), ("b", "place-5")])
        error = self.assertRaises(Gap, next, found)
        self.assertEqual((error.first, error.queue), ("p6", "b"))
        self.assertEqual((server.sent()["after"], server.left_open), ("p1", 0))

    def test_gaps_that_are_no_errors(self) -> None:
        pieces = lines(begun(), came("a", 1), gap("p1"), gap("p1", left_out=3), came("a", 3))
        for on_gap, wanted in (("warn", ["queue b", "further queues"]), ("ignore", [])):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                found = client_of(live(pieces)).follow(prefix="", on_gap=on_gap)
                self.assertEqual(shown(found, 2), [("a", "p1"), ("a", "p3")])
            self.assertEqual([str(each.message).partition(":")[0] for each in told], wanted)

    def test_an_older_server(self) -> None:
        server = LiveServer(problem("not-found", 404), replies=[many(next="p0"), many(("a", 1), next="p1")])
        self.assertEqual(shown(client_of(server).follow(["a"]), 1), [("a", "place-1")])
        self.assertEqual([server.sent(at).get("after") for at in (0, 1)], [None, "p0"])
        oldest = LiveServer(problem("not-found", 404), replies=[problem("not-found", 404)])
        self.assertRaises(NotFound, next, client_of(oldest).follow(["a"]))

    def test_refusals(self) -> None:
        for connection, kind in (
            (problem("too-many-queues", 400), Invalid),
            (problem("no-such-queue", 404), NotFound),
            ([lines(begun(), refusal("forbidden", 403))], NotAllowed),
        ):
            server = LiveServer(connection)
            self.assertRaises(kind, next, client_of(server).follow(["a"]))
            self.assertEqual((server.asks, server.left_open), ([], 0))

    def test_messages_that_lack_something(self) -> None:
        for garbage in ({"message": message(9), "next": "p9"}, {"message": {**message(9), "queue": "a"}}):
            server = LiveServer(
                [lines(begun(), came("a", 1)), lines(garbage)], [lines(begun("p1"), came("a", 2)), LOST]
            )
            self.assertEqual(shown(client_of(server).follow(["a"]), 2), [("a", "p1"), ("a", "p2")])

    def test_all_queues_are_closed(self) -> None:
        server = live(lines(begun(), came("a", 1), caught_up("p1"), {"closed": True, "next": "p1"}))
        self.assertEqual(shown(client_of(server).follow(["a"], start="oldest")), [("a", "p1")])
