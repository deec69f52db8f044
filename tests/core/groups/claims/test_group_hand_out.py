"""Claims that wait and are run in the write batch that stores their messages, on SQLite."""

from __future__ import annotations

from typing import Any, cast

import apsw
from twisted.internet.defer import CancelledError, Deferred

from queuey.errors import Unavailable
from queuey.model.messages.message import Content, Draft
from queuey.model.messages.once import Once
from queuey.model.timeid import SECOND, Ticks
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.writing.writer import Writer
from tests.core.groups.group_support import GroupCase, Subject, begun, bodies
from tests.storage.quick import quick_directory
from tests.storage.subjects import HeldSubject


class HandOutTests(GroupCase):
    """A message that comes while claims wait. The test says when a write batch is run."""

    by_state = False

    def subject(self) -> Subject:
        return HeldSubject(quick_directory(self))

    def setUp(self) -> None:
        super().setUp()
        store = self.under.store
        assert isinstance(store, SQLiteStore)
        self.batches: list[list[str]] = []
        writing = store._writing
        work = writing._work

        def watched(jobs: list[Job[Writer]]) -> None:
            self.batches.append([job.function.__name__ for job in jobs])
            work(jobs)

        writing._work = cast(Any, watched)

    def hold(self) -> None:
        cast(HeldSubject, self.under).hold()

    def release(self) -> None:
        self.batches.clear()
        cast(HeldSubject, self.under).release()

    def posting(self, *texts: bytes) -> Deferred[Any]:
        """Begin to post messages, and let the next turn of the reactor come."""
        posted = begun(self._post(texts))
        self.clock.advance(0)
        return posted

    async def _post(self, texts: tuple[bytes, ...]) -> Any:
        return await self.messages.append(self.queue, [Draft(Content(text), 3600) for text in texts])

    def test_both_in_one_batch(self) -> None:
        waiting = self.claiming(wait=20)
        self.hold()
        posted = self.posting(b"1")
        self.release()
        self.successResultOf(posted)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])
        self.assertEqual(self.batches, [["append", "run"]])
        self.clock.advance(0)
        self.assertEqual(self.batches, [["append", "run"]], "no claim is attempted a second time")

    def test_first_come_first_served(self) -> None:
        waiting = [self.claiming(wait=20, limit=1) for _ in range(3)]
        self.hold()
        posted = self.posting(b"1", b"2")
        self.release()
        self.successResultOf(posted)
        self.assertEqual([bodies(self.successResultOf(one)) for one in waiting[:2]], [[b"1"], [b"2"]])
        self.assertNoResult(waiting[2])
        self.posting(b"3")
        self.assertEqual(bodies(self.successResultOf(waiting[2])), [b"3"])

    def test_a_batch_that_fails(self) -> None:
        """The claim goes on waiting for the next message."""
        waiting = self.claiming(wait=20)
        store = self.under.store
        assert isinstance(store, SQLiteStore)
        assert store._open is not None
        connection = store._open.writer._connection
        connection.authorizer = lambda operation, table, *_: int((operation, table) == (apsw.SQLITE_INSERT, "messages"))
        self.failureResultOf(self.posting(b"1"), Unavailable)
        self.assertNoResult(waiting)
        connection.authorizer = None
        self.posting(b"2")
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"2"])

    def test_a_claim_that_begins_meanwhile(self) -> None:
        """Its first attempt is before the message in the write batch, and it is attempted again."""
        first = self.claiming(wait=20, limit=1)
        self.hold()
        second = self.claiming(wait=20, limit=1)
        posted = self.posting(b"1", b"2")
        self.release()
        self.successResultOf(posted)
        self.clock.advance(0)
        self.assertEqual([bodies(self.successResultOf(one)) for one in (first, second)], [[b"1"], [b"2"]])

    def test_a_client_that_hangs_up_meanwhile(self) -> None:
        """What it was given comes back, and the next one gets it."""
        gone, waiting = self.claiming(wait=20, limit=1), self.claiming(wait=20, limit=1)
        self.hold()
        posted = self.posting(b"1")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.release()
        self.successResultOf(posted)
        self.clock.advance(0)
        delivered = self.successResultOf(waiting)
        self.assertEqual((bodies(delivered), delivered.deliveries[0].deliveries), ([b"1"], 1))

    def test_a_delayed_message(self) -> None:
        """It is not claimed before it is due."""
        waiting = self.claiming(wait=20)
        posted = begun(self._later())
        self.clock.advance(0)
        self.successResultOf(posted)
        self.assertNoResult(waiting)
        self.advance(6)
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"later"])

    async def _later(self) -> Any:
        return await self.messages.append(self.queue, [Draft(Content(b"later"), 3600, delay=Ticks(5 * SECOND))])

    def test_a_post_under_a_key(self) -> None:
        """A repeat stores no message, and the claims go on waiting."""
        first, second = (self.claiming(wait=20, limit=1) for _ in range(2))
        for _ in range(2):
            posted = begun(self._once(b"1"))
            self.clock.advance(0)
            self.successResultOf(posted)
        self.assertEqual(bodies(self.successResultOf(first)), [b"1"])
        self.assertNoResult(second)

    async def _once(self, text: bytes) -> Any:
        once = Once(b"k" * 16, b"d" * 16, "", 3600)
        return await self.messages.append_once(self.queue, [Draft(Content(text), 3600)], once)
