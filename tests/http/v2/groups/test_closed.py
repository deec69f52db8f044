"""Consumer groups and closed queues: dead letters that cannot be moved stay where they are."""

from __future__ import annotations

from typing import Any

from queuey.core.groups import redriving
from tests.http.api_support import SETTINGS
from tests.http.group_support import PATCH, GroupTestCase


class ClosedTestCase(GroupTestCase):
    """The group ``g`` of ``q``, whose dead letters go to ``dead``."""

    partitions = 2

    def setUp(self) -> None:
        super().setUp()
        self.make("dead")
        self.made(dead_letter="dead", lease=10)

    def close(self, queue: str) -> None:
        self.expect(200, self.send("PATCH", f"/queues/{queue}", {"closed": True}, content_type=PATCH))

    def given_up(self, *bodies: str) -> list[str]:
        """Messages that the group rejects; their ids."""
        ids = [self.appended(body, f"?partition={1 + int(body) % 2}") for body in bodies]
        self.settled(reject=self.receipts(limit=len(bodies)))
        self.pass_time(1)
        return ids

    def dead(self, queue: str = "dead") -> list[dict[str, Any]]:
        """The messages of a queue, closed or not."""
        page = self.expect(200, self.send("GET", self.path(queue=queue)))
        return list(page["messages"])

    def bodies_of(self, queue: str) -> list[str]:
        return [message["body"] for message in self.dead(queue)]

    def delete(self, *ids: str) -> None:
        for id in ids:
            self.assertEqual(self.send("DELETE", self.path(f"/{id}")).status, 204)


class DeadLetterTests(ClosedTestCase):
    """The dead-letter queue is closed."""

    def test_it_stays_in_the_group(self) -> None:
        """A message that cannot be moved is delivered again, and moves when the group has another queue for it."""
        self.close("dead")
        self.given_up("1")
        self.assertEqual(self.bodies_of("dead"), [])
        self.pass_time(60)
        (receipt,) = self.receipts()
        self.make("other")
        self.expect(200, self.change({"dead_letter": "other"}))
        self.assertEqual(self.settled(reject=[receipt]), ["dead-lettered"])
        self.pass_time(1)
        self.assertEqual((self.bodies_of("other"), self.given()), (["1"], []))
        self.assertEqual(self.redriven(all=True), 1)
        self.assertEqual(self.given(), ["1"])

    def test_redrive_out_of_it(self) -> None:
        """Nothing is added to it by that, so that its dead letters can be taken back."""
        self.given_up("1", "2")
        self.close("dead")
        self.assertEqual(self.redriven(all=True), 2)
        self.assertEqual(sorted(self.given()), ["1", "2"])


class RedriveTests(ClosedTestCase):
    """The queue of the group is closed."""

    def left(self, moved: int, left: int, **members: Any) -> None:
        """Expect that one call moves some dead letters, and leaves others."""
        answer = self.expect(200, self.ask_redrive(members))
        self.assertEqual(answer, {"moved": moved, "left": {"queue-closed": left}, "next": None})

    def test_originals(self) -> None:
        """Messages that are still there are claimed again: they need not be stored."""
        self.given_up("1", "2")
        self.close("q")
        self.assertEqual(self.redriven(all=True), 2)
        self.assertEqual((sorted(self.given()), self.bodies_of("dead")), (["1", "2"], []))

    def test_copies(self) -> None:
        """A message that would have to be stored again stays a dead letter, and the answer says why."""
        ids = self.given_up("1", "2")
        self.delete(*ids)
        self.close("q")
        for members in ({"all": True}, {"ids": self.dead_letters()}, {"since": "2000-01-01T00:00:00Z"}):
            self.left(0, 2, **members)
        self.assertEqual((sorted(self.bodies_of("dead")), self.given()), (["1", "2"], []))

    def test_some_of_each(self) -> None:
        """What can be taken back is, wherever it stands among the others."""
        self.delete(*self.given_up("1", "2", "3", "4")[:2])
        self.close("q")
        self.left(2, 2, all=True)
        self.assertEqual((sorted(self.bodies_of("dead")), sorted(self.given())), (["1", "2"], ["3", "4"]))
        self.left(0, 2, all=True)

    def test_many_by_id(self) -> None:
        """The same over several steps of one redrive."""
        self.patch(redriving, "_AT_ONCE", 2)
        ids = self.given_up("1", "2", "3", "4", "5")
        self.delete(*ids[2:])
        self.close("q")
        self.left(2, 3, ids=self.dead_letters())
        self.assertEqual((sorted(self.bodies_of("dead")), sorted(self.given())), (["3", "4", "5"], ["1", "2"]))

    def test_behind_many(self) -> None:
        """Dead letters behind more than one call's worth of others that have to stay are taken back."""
        for start in range(0, 160, 40):
            self.given_up(*[str(number) for number in range(start, start + 40)])
        page = self.expect(200, self.send("GET", self.path("?limit=1000")))
        self.delete(*[message["id"] for message in page["messages"] if int(message["body"]) < 150])
        self.close("q")
        moved, left, after = 0, 0, None
        for _ in range(3):
            answer = self.expect(200, self.ask_redrive({"all": True, "after": after}))
            moved, left = moved + answer["moved"], left + answer["left"].get("queue-closed", 0)
            after = answer["next"]
            if after is None:
                break
        self.assertEqual((moved, left, after), (10, 150, None))
        self.assertEqual(sorted(map(int, self.given(limit=20))), list(range(150, 160)))

    def dead_letters(self) -> list[str]:
        return [message["id"] for message in self.dead()]


class FullTests(ClosedTestCase):
    """The queue of the group has as many messages as it may have."""

    settings = SETTINGS + "[application:app]\nmax_queue_messages = 4\n"

    def test_copies(self) -> None:
        """Those that would have to be stored again stay, and the others are taken back; later there is room."""
        self.delete(*self.given_up("1", "2", "3", "4")[:2])
        others = [self.appended(body) for body in ("5", "6")]
        answer = self.expect(200, self.ask_redrive({"all": True}))
        self.assertEqual(answer, {"moved": 2, "left": {"storage-full": 2}, "next": None})
        self.assertEqual(sorted(self.bodies_of("dead")), ["1", "2"])
        self.delete(*others)
        self.assertEqual(self.redriven(all=True), 2)
        self.assertEqual(self.bodies_of("dead"), [])
