"""What the pushes of one application, or one push, may take from others: the requests that a process makes at the same
time, and deliveries of messages."""

from __future__ import annotations

from tests.http.api_support import OTHER, OWNER
from tests.http.push_support import SETTINGS, PushTestCase

SLOTS = 8
LIMITED = SETTINGS.replace(
    "[push]\n", f"[application:other]\npush = true\npush_hosts = *\n[push]\nmax_requests = {SLOTS}\n"
)


class FairnessTests(PushTestCase):
    """A process that makes eight requests at the same time."""

    settings = LIMITED

    def test_other_applications(self) -> None:
        """An application whose endpoint takes as long as it may keeps no other one from sending."""
        self.expect(201, self.ask("PUT", "/v2/other/queues/q", OTHER))
        body = b'{"url": "https://slow.example.com/", "timeout": 300, "parallel": 64}'
        typed = {**OTHER, "Content-Type": "application/json"}
        for name in "abc":
            self.expect(201, self.ask("PUT", f"/v2/other/queues/q/pushes/{name}", typed, body))
        self.pass_time(1.1)
        self.sender.answer = None
        for _ in range(20):
            self.expect(201, self.ask("POST", "/v2/other/queues/q/messages", OTHER, b"slow"))
            self.pass_time(0.1)
        self.assertEqual(len(self.sender.sent), SLOTS * 3 // 4)
        self.sender.answer = 200
        self.pushed()
        self.appended("a")
        self.pass_time(0.1)
        self.assertEqual(self.sender.bodies[-1], "a")

    def test_tests(self) -> None:
        """Test messages take slots of their application too, and are refused if there is none for long."""
        self.pushed(url="https://hook.example.com/", timeout=300)
        self.sender.answer = None
        path = f"/v2/app{self.push('/test')}"
        tests = [self.client.start("POST", path, OWNER, b"") for _ in range(7)]
        self.assertEqual(len(self.sender.sent), 6)
        self.pass_time(21)
        self.assertIn("Too many requests", tests[6].response("POST").json["detail"])

    def test_waiting_is_no_delivery(self) -> None:
        """Messages that wait for other pushes are not claimed meanwhile: none is given up unsent."""
        self.pushed("slow", timeout=300, parallel=64)
        self.sender.answer = None
        for number in range(20):
            self.appended(f"{number}")
        self.make("dead")
        names = [f"p{number}" for number in range(5)]
        for name in names:
            self.pushed(name, max_deliveries=2, dead_letter="dead")
        self.pass_time(120)
        self.assertEqual(len(self.sender.sent), 6)
        self.assertEqual({self.lag(group=name)["in_flight"] for name in names}, {0})
        self.sender.answer = 200
        while self.sender.open:
            self.sender.say(200)
        self.pass_time(5)
        self.assertEqual(len(self.sender.sent), 20 * 6)
        self.assertEqual({one["deliveries"] for name in names for one in self.attempts(name)}, {1})
        self.assertEqual(self.page(queue="dead")["messages"], [])
