"""A random machine: whatever happens to a queue and to a connection, each message comes once, or a gap is told."""

from __future__ import annotations

from random import Random

from tests.http.test_v2_live import Event, Follower, LiveTestCase, events

RUNS = 60
STEPS = 40


class Client:
    """What an EventSource knows: its place, and what it has been shown.

    :ivar seen: the bodies of messages, in the order in which they came.
    :ivar gaps: how often it was told that something may be gone.
    """

    def __init__(self) -> None:
        self.place: str | None = None
        self.seen: list[str] = []
        self.gaps = 0

    def read(self, text: str) -> None:
        """Take what has come of one connection; a block that is cut is as if it had not come."""
        for event in events(text):
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.name == "message" and event.data is not None:
            self.seen.append(event.json["body"])
        self.gaps += event.name == "gap"
        self.place = event.id or self.place


class MachineTests(LiveTestCase):
    """Posts, delays, purges, expiry and cuts in any order."""

    partitions = 3

    def test_random(self) -> None:
        for seed in range(RUNS):
            with self.subTest(seed=seed):
                self.run_once(Random(seed), f"m{seed}")

    def run_once(self, random: Random, queue: str) -> None:
        self.make(queue, partitions=3, ttl=random.choice((30, 3600)))
        client, stored, gone = Client(), set[str](), False
        follower = self.follow("start=oldest", queue)
        for number in range(STEPS):
            step = random.randrange(10)
            if step < 5:
                delay = random.choice(("", "", "&delay=3"))
                self.appended(f"{queue}-{number}", f"?partition={random.randint(1, 3)}{delay}", queue)
                stored.add(f"{queue}-{number}")
            elif step < 7:
                follower = self.cut(random, client, follower, queue)
            elif step == 7 and random.random() < 0.5:
                self.assertEqual(
                    self.send("DELETE", self.path(f"?before={self.clock.seconds() + 1}", queue)).status, 204
                )
                gone = True
            self.turn(random.choice((0, 0, 0.2, 2, 16)))
        self.turn(5)
        client.read(follower.text)
        follower.connection.hang_up()
        self.assertEqual(len(client.seen), len(set(client.seen)), "a message came twice")
        self.assertLessEqual(set(client.seen), stored)
        missing = stored - set(client.seen)
        if missing:
            self.assertGreater(client.gaps, 0, f"{sorted(missing)} are missing, and no gap was told")
        elif not gone:
            self.assertEqual(set(client.seen), stored)
        self.nothing_left()

    def cut(self, random: Random, client: Client, follower: Follower, queue: str) -> Follower:
        """Cut the connection at any byte, stay away for a while, and come back with the last place.

        The first block arrives: a client that was never given a place begins at the oldest message again, and is not
        told of what is gone by then.
        """
        text = follower.text
        first = 0 if client.place else text.index("\n\n") + 2
        client.read(text[: random.randint(first, len(text))])
        follower.connection.hang_up()
        for _ in range(random.randrange(3)):
            self.turn(random.choice((0.1, 1, 40)))
        return self.follow("", queue, Last_Event_ID=str(client.place))
