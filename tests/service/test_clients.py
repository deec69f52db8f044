"""The ids of requests."""

from __future__ import annotations

import os
from itertools import islice

from twisted.trial.unittest import SynchronousTestCase

from queuey.service.parts.clients import request_ids


class IdTests(SynchronousTestCase):
    """Each is 128 random bits, of which none is used twice; the kernel is asked for many at once."""

    def test_as_they_come(self) -> None:
        asked: list[bytes] = []

        def random(count: int) -> bytes:
            asked.append(os.urandom(count))
            return asked[-1]

        ids = request_ids(random)
        self.assertEqual(asked, [])
        found = list(islice(ids, 600))
        self.assertEqual("".join(found), b"".join(asked).hex()[: 600 * 32])
        self.assertEqual({len(id) for id in found}, {32})
        self.assertEqual(len(set(found)), 600)
        self.assertEqual(len(asked), 3)
