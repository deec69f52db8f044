"""What the Python client goes by and only a daemon can show: signed URLs, groups that take no keys, limits of keys."""

from __future__ import annotations

import time
import urllib.request
from urllib.parse import quote

from queuey_client import Client, Draft, Gap, Invalid, NotAllowed, NotFound, Redriven, Retry, Stale
from tests.live.clients import KEY, ask
from tests.live.daemon.test_daemon import LiveTestCase

run_in = "test"


class CallTests(LiveTestCase):
    """The face for threads; the others send the same."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings("[application:queuey]\nsigned_urls = true\n")
        self.serve()
        self.client = Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)
        self.addCleanup(self.client.close)
        self.queue = self.client.queue("a queue née &?")
        self.queue.ensure(partitions=2)

    def test_signed_urls(self) -> None:
        """The server takes them, for what they are signed for."""
        self.queue.post("a pear")
        other = Client.from_signed_url(self.queue.signed_url(["read"], 60, rate=100))
        self.addCleanup(other.close)
        self.assertEqual([message.text for message in other.messages()], ["a pear"])
        self.assertRaises(NotAllowed, other.post, "another")
        self.assertEqual([message.text for message in other.follow(start="oldest", idle=0)], ["a pear"])
        url = self.queue.signed_url(["read"], 60, path="events")
        with urllib.request.urlopen(f"{url}&start=oldest&end=true", timeout=60) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
            self.assertIn(b"a pear", answer.read())

    def test_a_schedule(self) -> None:
        """Made, changed, paused, resumed and ended."""
        schedule = self.queue.schedule("s.~-1")
        made = schedule.ensure(cron="30 2 * * *", message=Draft(b"\xff", key="k"))
        self.assertEqual((made.state, made.missed, made.failures), ("active", "skip", 0))
        self.assertEqual(made.document["message"]["body_base64"], "/w==")
        self.assertEqual(schedule.ensure(missed="once", timezone="Europe/Berlin").missed, "once")
        self.assertIsNone(schedule.pause().next)
        self.assertEqual(schedule.resume().state, "active")
        self.assertEqual([each.name for each in self.queue.schedules()], ["s.~-1"])
        schedule.remove()
        self.assertRaises(NotFound, schedule.info)

    def test_a_closed_queue(self) -> None:
        """A reader that follows it ends, and one that is not at its end before gets the rest."""
        self.queue.post_all(["a pear", "a plum"])
        found = self.queue.follow(start="oldest")
        self.assertEqual(next(found).text, "a pear")
        patched = ask(
            self.port, "PATCH", f"/v2/queuey/queues/{quote(self.queue.name)}", b'{"closed": true}',
            **{"Content-Type": "application/merge-patch+json"},
        )  # fmt: skip
        self.assertEqual(patched[0], 200)
        self.assertEqual([message.text for message in found], ["a plum"])
        self.assertEqual(list(self.queue.follow()), [])

    def test_a_gap(self) -> None:
        """A reader that follows learns of messages that were purged before it got them, and goes on after them."""
        first = self.queue.post("a pear")
        self.queue.post("a plum")
        self.queue.purge()
        self.queue.post("a quince")
        gap = self.assertRaises(Gap, next, self.queue.follow(start=first.id))
        self.assertEqual(next(self.queue.follow(start=gap.first)).text, "a quince")
        error = self.assertRaises(NotFound, next, self.client.queue("nowhere").follow())
        self.assertEqual(error.code, "no-such-queue")

    def test_a_group_that_is_at_most_once(self) -> None:
        """It takes no keys, which the client finds out."""
        self.queue.post_all(["a", "b"])
        group = self.queue.group("g")
        group.ensure(guarantee="at-most-once")
        given = [delivery for _ in range(4) for delivery in group.claim(1, wait=0)]
        self.assertEqual([delivery.receipt for delivery in given], [None, None])
        self.assertEqual(group.ack(*given), [])

    def test_a_quick_worker(self) -> None:
        """More claims than the server remembers keys of are never blocked."""
        with self.queue.writer() as writer:
            for number in range(700):
                writer.post(str(number))
        group = self.queue.group("g")
        seen: set[str] = set()
        deadline = time.monotonic() + 60
        while len(seen) < 700 and time.monotonic() < deadline:
            found = group.claim(1, lease=600, wait=0)
            self.assertEqual(len(found), 1, f"blocked after {len(seen)}")
            seen.add(found[0].text)
            group.ack(*found)
        self.assertEqual(len(seen), 700)

    def test_settling_twice(self) -> None:
        """An ack that is repeated counts once; an invalid receipt is reported, and the others are settled."""
        self.queue.post("a")
        group = self.queue.group("g")
        (delivery,) = group.claim(lease=60)
        self.assertEqual([outcome for _, outcome in group.ack(delivery)], ["acked"])
        self.assertEqual([outcome for _, outcome in group.ack(delivery)], ["already-acked"])
        stale = self.assertRaises(Stale, group.ack, "nonsense", delivery)
        self.assertEqual((stale.stale, len(stale.outcomes)), (["nonsense"], 2))

    def test_dead_letters(self) -> None:
        """Given up, and taken back."""
        dead = self.client.queue("dead")
        dead.ensure()
        self.queue.post({"a": 1}, headers={"from": "Zoë"}, key="k")
        group = self.queue.group("g")
        group.ensure(dead_letter="dead", order="key")
        (delivery,) = group.claim()
        self.assertEqual((delivery.json(), delivery.headers["from"], delivery.key), ({"a": 1}, "Zoë", "k"))
        group.reject(delivery, reason="why")
        (letter,) = dead.messages()
        self.assertEqual(letter.headers["queuey-dead-letter"]["reason"], "why")
        self.assertEqual(group.redrive(all=True), Redriven(1, {}))
        self.assertEqual([each.id for each in group.claim()], [delivery.id])
        self.assertEqual(sum(each.behind for each in group.info().lag), 1)

    def test_refusals(self) -> None:
        """By what a caller does about them."""
        error = self.assertRaises(Invalid, self.queue.read, limit=0)
        self.assertEqual(error.errors[0]["parameter"], "limit")
        self.assertRaises(NotFound, self.client.queue("nowhere").info)
        wrong = Client(f"http://127.0.0.1:{self.port}", "queuey", key="wrong", retry=Retry.never)
        self.addCleanup(wrong.close)
        self.assertRaises(NotAllowed, wrong.promises)
