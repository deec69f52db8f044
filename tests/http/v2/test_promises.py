"""The answer to an append says how messages are stored, in the words that describe the application's promises."""

from __future__ import annotations

from typing import Any

import attrs

from tests.http.api_support import V2TestCase, set_promises


class DurableTests(V2TestCase):
    """Whether messages survive the loss of power."""

    def test_known_later(self) -> None:
        """A store that is elsewhere finds it out once it has opened; from then on it is said everywhere."""
        self.expect(201, self.send("PUT", "/queues/q"))
        store: Any = self.store
        for durable in (False, True):
            set_promises(store, attrs.evolve(store.capabilities, survives_power_loss=durable))
            stored = self.expect(201, self.send("POST", "/queues/q/messages", b"a"))["stored"]
            self.assertEqual((stored["durable"], self.expect(200, self.send("GET", ""))["durable"]), (durable, durable))
