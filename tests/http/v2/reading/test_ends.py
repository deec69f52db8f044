"""The words for the two ends of a log: oldest, newest and now, in everything over v2 that takes a place."""

from __future__ import annotations

from tests.http.api_support import LINES, OWNER
from tests.http.group_support import PATCH, GroupTestCase
from tests.http.v2.reading.test_waits import WaitTestCase

NEWEST = ("newest", "now")


class ReadingTests(WaitTestCase):
    """``since`` and ``until`` of a read."""

    def test_since_the_end(self) -> None:
        """What is there is passed over, and what comes later is read, once and in order."""
        self.fill(3)
        for word in NEWEST:
            first = self.page(f"since={word}")
            self.assertEqual((first["messages"], first["more"], first["resume"]), ([], False, "exact"), word)
            new = self.fill(4)
            self.assertEqual(self.ids(f"after={first['next']}"), new, word)
            found = [
                id for page in self.walk("limit=1", first["next"]) for id in [one["id"] for one in page["messages"]]
            ]
            self.assertEqual(found, new, word)

    def test_empty_queue(self) -> None:
        """An empty queue has an end too."""
        next = self.page("since=now")["next"]
        new = self.fill(2)
        self.assertEqual(self.ids(f"after={next}"), new)

    def test_waiting(self) -> None:
        """With a wait, what comes next ends it."""
        self.fill(2)
        waiting = self.wait("since=now")
        id = self.appended("x")
        self.clock.advance(0)
        self.assertEqual([one["id"] for one in self.expect(200, waiting.response())["messages"]], [id])

    def test_delayed(self) -> None:
        """A delayed message has its place at the time when it is due, so it is still to come."""
        id = self.appended("later", "?delay=5")
        next = self.page("since=now")["next"]
        self.clock.advance(6)
        self.assertEqual(self.ids(f"after={next}"), [id])

    def test_some_partitions(self) -> None:
        """One partition has the same end as all."""
        self.fill(3)
        page = self.page("since=newest&partition=2")
        self.assertEqual(page["messages"], [])
        new = self.fill(3)
        self.assertEqual(self.ids(f"partition=2&after={page['next']}"), new[1:2])

    def test_oldest(self) -> None:
        """That is where a read begins that says nothing."""
        ids = self.fill(3)
        self.assertEqual(self.ids("since=oldest"), ids)
        self.assertEqual(self.ids("until=oldest"), [])
        self.assertEqual(self.page("since=oldest")["next"], self.page()["next"])

    def test_until_the_end(self) -> None:
        """It ends where the log ended when it was asked for, and does not wait for what comes after that."""
        ids = self.fill(3)
        for word in NEWEST:
            self.assertEqual(self.ids(f"until={word}"), ids)
            self.assertEqual(self.page(f"until={word}&since={word}&wait=20")["messages"], [], word)
            self.assertEqual(self.ids(f"until={word}&order=desc"), ids[::-1])

    def test_descending(self) -> None:
        """From the newest on down to the end: that is nothing."""
        self.fill(3)
        page = self.page("since=now&order=desc")
        self.assertEqual((page["messages"], page["more"]), ([], False))

    def test_lines(self) -> None:
        """Lines begin at the end as well."""
        self.fill(3)
        response = self.raw("GET", self.path("?since=now"), {**OWNER, "Accept": LINES})
        self.assertEqual(len(response.body.splitlines()), 1)

    def test_with_a_cursor(self) -> None:
        """There is one place to begin at."""
        errors = self.errors("invalid-parameters", self.send("GET", self.path("?since=now&after=x")))
        self.assertEqual(errors, {"since": "cannot be given together with after"})

    def test_more_partitions_meanwhile(self) -> None:
        """Partitions that are added while it waits are read from the same end on."""
        self.fill(3)
        waiting = self.wait("since=now")
        self.expect(200, self.send("PATCH", "/queues/q", {"partitions": 5}, content_type=PATCH))
        id = self.appended("x", "?partition=5")
        other = self.appended("y", "?partition=1")
        self.pass_time(1)
        self.assertEqual([one["id"] for one in self.expect(200, waiting.response())["messages"]], [id, other])


class PurgeTests(WaitTestCase):
    """``before`` of a purge."""

    def test_words(self) -> None:
        """Nothing is before the oldest, and everything before the newest."""
        ids = self.fill(3)
        for word, left in (("oldest", ids), ("newest", [])):
            self.assertEqual(self.send("DELETE", self.path(f"?before={word}"), None).status, 204)
            self.assertEqual(self.ids(), left, word)


class GroupTests(GroupTestCase):
    """``start`` of a group, and ``to`` of a seek."""

    def test_start(self) -> None:
        """A group that starts now gets what comes later; it shows the word that there was before."""
        self.appended("old")
        self.clock.advance(1)
        self.assertEqual(self.made(start="now")["start"], "newest")
        id = self.appended("new")
        self.assertEqual([one["id"] for one in self.claimed()], [id])

    def test_seek(self) -> None:
        """A seek to now passes over what there is."""
        self.made()
        self.appended("old")
        self.clock.advance(1)
        response = self.send("POST", self.group("/seek"), {"to": "now"})
        self.assertEqual(response.status, 204)
        self.assertEqual(self.claimed(), [])

    def test_key(self) -> None:
        """Now is another place each time, so a key is refused."""
        self.made()
        response = self.send("POST", self.group("/seek"), {"to": "now"}, {**OWNER, "Idempotency-Key": '"k"'})
        text = "is not taken by a seek to now, which is another place each time; name the place, or send no key"
        self.assertEqual(self.errors("invalid-parameters", response), {"Idempotency-Key": text})
