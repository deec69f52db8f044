"""The metrics of applications that are added and removed."""

from __future__ import annotations

from tests.ops.test_counts import MESSAGES, CountsCase


class ApplicationTests(CountsCase):
    """Lines that have the name of an application."""

    def lines(self) -> set[str]:
        """The applications that any line names."""
        text = self.scrape().body.decode()
        return {part.split('"')[1] for part in text.replace(",", "{").split("{") if part.startswith("application=")}

    def test_nobody_makes_lines_by_names_of_his_own(self) -> None:
        self.make()
        self.put(b"x")
        lines = len(self.scrape().body.splitlines())
        for n in range(20):
            self.asks(404, "GET", f"/v2/made-up-{n}/queues/q/messages")
            self.asks(404, "GET", f"/made-up-{n}")
            self.asks(405, f"MADE{n}", MESSAGES)
            self.asks(404, "GET", f"/v2/app/queues/made-up-{n}")
        self.assertEqual(self.lines(), {"app", "-"})
        text = self.scrape().body.decode()
        self.assertNotIn("made-up", text)
        self.assertNotIn("MADE", text)
        few = len(text.splitlines())
        self.assertLess(few - lines, 100)
        self.asks(404, "GET", "/made-up-more")
        self.assertEqual(len(self.scrape().body.splitlines()), few)

    def test_those_of_an_application_that_is_removed_go(self) -> None:
        self.call("applications.set", name="shop", create_queues="on-write")
        key = self.call("keys.add", application="shop")["key"]
        self.asks(201, "POST", "/v2/shop/queues/q/messages", {"Authorization": f"Application {key}"}, b"x")
        self.asks(401, "GET", "/v2/shop/queues/q/messages", {})
        self.assertEqual(self.lines(), {"shop"})
        self.call("applications.remove", name="shop", keep_queues=True)
        self.assertEqual(self.lines(), set())

    def test_no_secret_is_in_them(self) -> None:
        self.make()
        self.put(b"a body that nobody else reads")
        self.asks(401, "GET", f"{MESSAGES}?signature=abcdef", {"Authorization": "Bearer a-token-of-a-user"})
        self.asks(404, "GET", f"{MESSAGES}/a-secret-id")
        text = self.scrape().body.decode()
        for secret in ("the-key-of-app", "a body", "a-token", "abcdef", "a-secret-id", '"q"', "queues/q"):
            self.assertNotIn(secret, text)
