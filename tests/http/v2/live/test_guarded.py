"""A live read ends when its caller loses access; a client that reads nothing costs bounded memory."""

from __future__ import annotations

from urllib.parse import urlencode

from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.signing import Grant, sign
from tests.auth.web_support import token
from tests.http.admission.test_identities import SUBJECT, IdentitiesTestCase, bearer
from tests.http.admission.test_ongoing import CUT, OngoingTestCase
from tests.http.api_support import KEY, NOW, OWNER, SPARE_KEY
from tests.http.v2.live.test_live import Follower, LiveTestCase
from tests.http.wire_support import Connection, Fields, encode_request, held_by_each

SIZE = 20_000
COUNT = 400
"""Messages of that size are many pages of live reads."""


class RevokedTests(OngoingTestCase):
    """Keys that are taken out of force."""

    def follow(self, key: str) -> Follower:
        headers = {"Authorization": f"Application {key}"}
        return Follower(self.client.start("GET", "/v2/app/queues/q/events", headers))

    def test_revoked(self) -> None:
        """The streams of a revoked key end within two seconds, and say why; those of other keys go on."""
        cut, others = [self.follow(KEY) for _ in range(250)], [self.follow(SPARE_KEY) for _ in range(3)]
        self.pass_time(3)
        self.assertFalse(any(follower.over for follower in cut + others))
        self.revoke()
        self.pass_time(CUT)
        for follower in cut:
            self.assertEqual(follower.events()[-1].json["code"], "unauthorized")
            self.assertTrue(follower.over)
        self.expect(201, self.send("POST", self.path(), b"x", {"Authorization": f"Application {SPARE_KEY}"}, None))
        self.pass_time(0.5)
        for follower in others:
            self.assertEqual(follower.events()[-1].json["body"], "x")
            follower.connection.hang_up()
        self.assertEqual(len(self.assembly.live), 0)
        self.nothing_left()


class ExpiryTests(IdentitiesTestCase):
    """Credentials that expire."""

    def setUp(self) -> None:
        super().setUp()
        self.timers = len(self.clock.getDelayedCalls()) + 1  # that of the site, once it has had a connection

    def follow(self, headers: Fields, query: str = "") -> Follower:
        return Follower(self.client.start("GET", f"/v2/app/queues/q/events?{query}", headers))

    def signed(self, seconds: int) -> str:
        digest = digest_of(KEY)
        grant = Grant("app", "q", "read", str(int(NOW) + seconds))
        given = {"signed_by": key_id(digest), "signed_for": "read", "signed_until": grant.until}
        return urlencode({**given, "signature": sign(digest, grant)})

    def ends_between(self, follower: Follower, least: float, most: float) -> None:
        """It goes on, and then it says that its caller is not let in any more, and ends."""
        while self.clock.seconds() < NOW + least:
            self.assertFalse(follower.over, self.clock.seconds() - NOW)
            self.clock.advance(1)
        while self.clock.seconds() < NOW + most:
            self.clock.advance(0.5)
        self.assertEqual(follower.events()[-1].json["code"], "unauthorized")
        self.assertTrue(follower.over)
        self.assertEqual(len(self.assembly.live), 0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertLessEqual(len(self.clock.getDelayedCalls()), self.timers)

    def test_signed_until(self) -> None:
        """A stream over a signed URL ends when the signature does."""
        self.ends_between(self.follow({}, self.signed(90)), 89, 92)

    def test_exp(self) -> None:
        """A stream of a user ends when the token has expired, and the leeway has passed."""
        self.allow(SUBJECT)
        user = bearer(token(exp=int(NOW) + 120))
        self.ends_between(self.follow(user), 119, 185)

    def test_first_of_several(self) -> None:
        """Of a key that does not expire and a token that does, the token decides, as it does for a request."""
        self.allow(SUBJECT)
        both = {"Authorization": f"Application {KEY}; Bearer {token(exp=int(NOW) + 120)}"}
        self.ends_between(self.follow(both), 119, 185)

    def test_in_a_burst(self) -> None:
        """A stream ends in time also if it always has something to send, and what came before is not lost."""
        follower = self.follow({}, self.signed(30) + "&start=oldest")
        sent = 0
        while self.clock.seconds() < NOW + 33:
            self.appended(str(sent))
            sent += 1
            self.clock.pump([0.1] * 5)
        self.assertTrue(follower.over)
        *_, problem = events = follower.events()
        self.assertEqual(problem.json["code"], "unauthorized")
        shown = [event.json["body"] for event in events if event.name == "message" and event.data]
        self.assertEqual(shown, [str(number) for number in range(len(shown))])
        self.assertGreater(len(shown), 55)
        self.assertLess(len(shown), sent)


class StalledTests(LiveTestCase):
    """Clients that take nothing."""

    def begin(self, query: str = "") -> Connection:
        connection = Connection(self.assembly.site)
        connection.transport.greedy = False
        connection.send(encode_request("GET", f"/v2/app/queues/q/events?{query}", OWNER))
        self.turn()
        return connection

    def fill(self) -> None:
        for start in range(0, COUNT, 40):
            self.batch([{"body": f"{number} ".ljust(SIZE, "x")} for number in range(start, start + 40)])

    def take_all(self, connection: Connection) -> list[int]:
        """The numbers that come while the client takes what there is."""
        size = -1
        while size < len(connection.received):
            size = len(connection.received)
            connection.transport.read()
            self.turn()
        found = Follower(connection).events()
        return [int(event.json["body"].split()[0]) for event in found if event.name == "message" and event.data]

    def test_one_page(self) -> None:
        """One page is held for a client, however much there is; afterwards it gets all of it."""
        self.fill()
        self.begin("start=oldest").hang_up()
        held, connections = held_by_each(lambda: self.begin("start=oldest"), lambda: self.turn(20))
        self.assertLess(held, 2 << 20)
        for connection in connections[1:]:
            self.assertLess(len(connection.received), 1 << 20)
            connection.hang_up()
        self.assertEqual(self.take_all(connections[0]), list(range(COUNT)))

    def test_at_the_end(self) -> None:
        """What comes to others meanwhile is not kept for it: it reads it from the log."""
        stalled, other = self.begin(), self.follow()
        self.fill()
        self.turn(20)
        self.assertIn(f'"{COUNT - 1} xx', other.text)
        self.assertLess(len(stalled.received), 1 << 20)
        self.assertEqual(self.take_all(stalled), list(range(COUNT)))

    def test_cut(self) -> None:
        """After ``idle_timeout`` it is cut, is counted as slow, and goes on where it was when it comes back."""
        self.fill()
        stalled = self.begin("start=oldest")
        for _ in range(9):
            self.turn(10)
            stalled.settle()
        self.assertFalse(stalled.open)
        self.assertEqual(self.assembly.live.ends.values, {("slow",): 1})
        self.nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])
