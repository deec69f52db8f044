"""Readers: pages, places, gaps, and what comes."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import FileCursors, Gap, GapWarning, SqlCursors
from tests.client.support import LOST, Server, page


def asked(server: Server) -> list[dict[str, str]]:
    """The query of each request."""
    return [{name: values[0] for name, values in parse_qs(urlsplit(ask.url).query).items()} for ask in server.asks]


class MemoryCursors:
    """Places in a dictionary, with all that was saved."""

    def __init__(self, transactional: bool = False) -> None:
        self.places: dict[str, str] = {}
        self.saved: list[str] = []
        self.transactional = transactional

    def load(self, reader: str) -> str | None:
        """Where the reader was."""
        return self.places.get(reader)

    def save(self, reader: str, place: str) -> None:
        """Keep it."""
        self.places[reader] = place
        self.saved.append(place)


class MessagesTests(SynchronousTestCase):
    """What is there."""

    def test_page_by_page(self) -> None:
        """From each cursor to the next; ``since`` counts for the first page."""
        server = Server(page(1, 2, more=True), LOST, page(3))
        since = datetime(2026, 1, 1, tzinfo=timezone.utc)
        found = [each.text for each in server.queue().messages(since=since)]
        self.assertEqual(found, ["body 1", "body 2", "body 3"])
        first, second, again = asked(server)
        self.assertEqual((first, second), ({"since": "2026-01-01T00:00:00+00:00"}, {"after": "after-2"}))
        self.assertEqual(again, second)

    def test_nothing_is_asked_before_it_is_needed(self) -> None:
        """An iterator that is not read costs nothing, and a page is read when the one before is done."""
        server = Server(page(1, 2, more=True))
        found = server.queue().messages()
        self.assertEqual(server.asks, [])
        next(found)
        next(found)
        self.assertEqual(len(server.asks), 1)

    def test_a_reader_goes_on_where_it_was(self) -> None:
        """Its place is saved at the end of a page."""
        cursors = MemoryCursors()
        server = Server(page(1, 2, more=True), page(3), page())
        queue = server.queue()
        self.assertEqual(len(list(queue.messages(reader="r", cursors=cursors))), 3)
        self.assertEqual(cursors.saved, ["after-2", "after-3"])
        self.assertEqual(list(queue.messages(reader="r", cursors=cursors)), [])
        self.assertEqual(asked(server)[-1], {"after": "after-3"})

    def test_a_loop_that_is_left(self) -> None:
        """The message whose work was begun is not done: the place is before it."""
        cursors = MemoryCursors()
        found = Server(page(1, 2, 3)).queue().messages(reader="r", cursors=cursors)
        for message in found:
            if message.text == "body 2":
                break
        found.close()  # type: ignore[attr-defined]
        self.assertEqual(cursors.saved, [f"{1:032x}-1"])

    def test_a_long_page(self) -> None:
        """A place is saved each second."""
        cursors = MemoryCursors()
        server = Server(page(1, 2, 3, 4))
        for _ in server.queue().messages(reader="r", cursors=cursors):
            server.now += 0.6
        self.assertEqual(cursors.saved, [f"{2:032x}-1", f"{4:032x}-1", "after-4"])

    def test_places_in_the_readers_own_transaction(self) -> None:
        """They are written before the message is given."""
        cursors = MemoryCursors(transactional=True)
        found = Server(page(1, 2)).queue().messages(reader="r", cursors=cursors)
        message = next(found)
        self.assertEqual(cursors.places, {"r": message.place})

    def test_gaps(self) -> None:
        """They are raised, warned of, or ignored."""

        def read(on_gap: str) -> list[str]:
            server = Server(page(5, resume="truncated", first="before-5"))
            return [each.text for each in server.queue().messages(after="old", on_gap=on_gap)]

        error = self.assertRaises(Gap, read, "raise")
        self.assertEqual((error.first, error.queue), ("before-5", "orders"))
        self.assertEqual(read("ignore"), ["body 5"])
        self.assertEqual(read("warn"), ["body 5"])
        (warning,) = self.flushWarnings()
        self.assertIs(warning["category"], GapWarning)

    def test_options_that_make_no_sense(self) -> None:
        """They are refused at once."""
        queue = Server().queue()
        self.assertRaises(ValueError, queue.messages, reader="r")
        self.assertRaises(ValueError, queue.messages, cursors=MemoryCursors())
        self.assertRaises(ValueError, queue.messages, on_gap="no")
        self.assertRaises(ValueError, queue.messages, reader="r", cursors=MemoryCursors(), order="desc")


class FollowTests(SynchronousTestCase):
    """What comes."""

    def test_from_the_oldest(self) -> None:
        """It waits for the next page, and goes on."""
        server = Server(page(1), page(), page(2))
        server.takes = 5.0
        found = server.queue().follow(start="oldest")
        self.assertEqual([next(found).text, next(found).text], ["body 1", "body 2"])
        waits = [each.get("wait") for each in asked(server)]
        self.assertEqual((waits, asked(server)[1]["after"]), (["20"] * 3, "after-1"))

    def test_from_the_newest(self) -> None:
        """It begins after the newest message; where there is none, with the first that comes."""
        server = Server(page(7), page(8))
        self.assertEqual(next(server.queue().follow()).text, "body 8")
        self.assertEqual(asked(server), [{"order": "desc", "limit": "1"}, {"after": f"{7:032x}-1", "wait": "20"}])
        server = Server(page(), page(8))
        next(server.queue().follow())
        self.assertEqual(asked(server)[1], {"wait": "20"})

    def test_from_a_time_or_a_place(self) -> None:
        """And a reader with a place goes on there instead."""
        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        server = Server(page(1), page(1), page(1))
        next(server.queue().follow(start=start))
        next(server.queue().follow(start="place"))
        cursors = MemoryCursors()
        cursors.places["r"] = "mine"
        next(server.queue().follow(start="oldest", reader="r", cursors=cursors))
        self.assertEqual(asked(server)[0].get("since"), start.isoformat())
        self.assertEqual([each.get("after") for each in asked(server)], [None, "place", "mine"])

    def test_idle(self) -> None:
        """It ends when nothing came for so long, and waits no longer than that."""
        server = Server(page(1), page(), page())
        server.takes = 15.0
        self.assertEqual(len(list(server.queue().follow(start="oldest", idle=30))), 1)
        self.assertEqual([each["wait"] for each in asked(server)], ["20", "20", "15"])

    def test_an_idle_reader_keeps_its_place_fresh(self) -> None:
        """Else it would be older than the messages' time to live, and look like a gap."""
        cursors = MemoryCursors()
        server = Server(page(next="n1"), page(next="n2"))
        server.takes = 20.0
        self.assertEqual(list(server.queue().follow(start="oldest", idle=40, reader="r", cursors=cursors)), [])
        self.assertEqual(cursors.saved, ["n1", "n2"])

    def test_a_server_that_does_not_wait(self) -> None:
        """It is not asked without a pause."""
        server = Server(page(), page(), page(1))
        next(server.queue().follow(start="oldest"))
        self.assertEqual(server.sleeps, [0.2, 0.2])


class CursorsTests(SynchronousTestCase):
    """Where places are kept."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_files(self) -> None:
        """Each reader has one, replaced in one step, whatever its name."""
        cursors = FileCursors(self.folder / "places")
        self.assertIsNone(cursors.load("a/../b"))
        for place in ("one", "two"):
            cursors.save("a/../b", place)
        cursors.save("c", "three")
        self.assertEqual((cursors.load("a/../b"), cursors.load("c")), ("two", "three"))
        self.assertEqual(len(list((self.folder / "places").iterdir())), 2)
        self.assertRaises(ValueError, cursors.load, "")

    def test_rows(self) -> None:
        """Committed at once, or with the work."""
        path = self.folder / "db"
        for commit in (True, False):
            connection = sqlite3.connect(path)
            self.addCleanup(connection.close)
            cursors = SqlCursors(connection, commit=commit)
            cursors.save("r", f"{commit}")
            cursors.save("r", f"{commit}!")
            connection.rollback()
            self.assertEqual(cursors.load("r"), "True!")
        self.assertRaises(ValueError, SqlCursors, connection, "a; DROP TABLE b")

    def test_effects_that_happen_once(self) -> None:
        """A program that dies between its work and the commit does the work again, and no other."""
        connection = sqlite3.connect(":memory:")
        self.addCleanup(connection.close)
        connection.execute("CREATE TABLE done (body TEXT)")
        cursors = SqlCursors(connection, commit=False)
        server = Server(page(1, 2), page(2))
        queue = server.queue()
        for message in queue.messages(reader="r", cursors=cursors):
            connection.execute("INSERT INTO done VALUES (?)", (message.text,))
            if message.text == "body 2":
                connection.rollback()
                break
            connection.commit()
        for message in queue.messages(reader="r", cursors=cursors):
            connection.execute("INSERT INTO done VALUES (?)", (message.text,))
            connection.commit()
        self.assertEqual(asked(server)[1], {"after": f"{1:032x}-1"})
        self.assertEqual(connection.execute("SELECT body FROM done").fetchall(), [("body 1",), ("body 2",)])
