"""A claim under an Idempotency-Key that was used for another one is 422, and changes nothing."""

from __future__ import annotations

from typing import Any

from tests.http.group_support import GroupTestCase


class ReusedKeyTests(GroupTestCase):
    """What is another claim."""

    def setUp(self) -> None:
        super().setUp()
        self.made()
        for body in "abc":
            self.appended(body)

    def reused(self, body: bytes, **fields: str) -> Any:
        return self.problem("key-reused", self.ask_claim(body, Idempotency_Key='"k"', **fields))

    def test_another_body(self) -> None:
        """Whatever it asks for, it is refused; the first claim is given again as it was, and nothing else is given."""
        first = self.claimed(key="k", limit=1, lease=30)
        for body in (b'{"limit": 1, "lease": 1000}', b'{"limit": 2, "lease": 30}', b"{}", b'{"wait": 1}'):
            self.assertEqual(self.reused(body)["applied"], "no")
        self.clock.advance(10)
        self.assertEqual(self.claimed(key="k", limit=1, lease=30), first)
        self.assertEqual(self.given(limit=10), ["b", "c"])

    def test_another_lease_that_has_ended(self) -> None:
        self.claimed(key="k", limit=1, lease=5)
        self.clock.advance(5.1)
        self.assertEqual(self.given(key="k", limit=2, lease=6), ["a", "b"])
