"""The calls of schedules: what each sends, and what it makes of the answer."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Draft, NotFound, aio, tx
from queuey_client.core.schedule_calls import ScheduleCalls
from tests.client.support import LOST, ROOT, Server, answer, problem

MESSAGE = {"body": "sales", "content_type": "text/plain;charset=utf-8"}
SCHEDULE = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "message": MESSAGE,
    "missed": "skip",
    "next": "2025-11-27T01:30:00.0000000Z",
    "state": "failing",
    "since": "2025-11-26T01:30:00.0000000Z",
    "last_posted": None,
    "failures": 12,
    "last_error": "storage-full",
    "last_error_detail": "The application may store at most 10 messages, and this request would exceed that.",
    "last_error_time": "2025-11-26T01:41:00.0000000Z",
    "created": "2025-11-26T12:14:43.1698736Z",
    "version": "7",
}
PATH = f"{ROOT}/queues/orders/schedules/nightly"


class ScheduleTests(SynchronousTestCase):
    def test_making_one(self) -> None:
        """Of a draft, or of an object as it is."""
        server = Server(answer(SCHEDULE, 201), answer(SCHEDULE, 201))
        schedule = server.queue().schedule("nightly")
        made = schedule.ensure(cron="30 2 * * *", message=Draft("sales", key="k", ttl=60))
        self.assertEqual((made.name, made.cron, made.version), ("nightly", "30 2 * * *", "7"))
        self.assertEqual((server.asks[0].method, server.asks[0].url), ("PUT", PATH))
        self.assertEqual(server.sent(), {"cron": "30 2 * * *", "message": {**MESSAGE, "key": "k", "ttl": 60}})
        schedule.ensure(cron="30 2 * * *", message={"body": "x"})
        self.assertEqual(server.sent()["message"], {"body": "x"})

    def test_changing_one(self) -> None:
        there, gone = problem("precondition-failed", 412), problem("no-such-schedule", 404)
        server = Server(there, answer(SCHEDULE), there, gone, answer(SCHEDULE, 201), answer(SCHEDULE), gone)
        schedule = server.queue().schedule("nightly")
        schedule.ensure(cron="30 2 * * *", message=Draft("sales"))
        schedule.ensure(cron="30 2 * * *", message=Draft("sales"))
        schedule.ensure(missed="once")
        self.assertRaises(NotFound, schedule.ensure, cron="30 2 * * *")
        methods = ["PUT", "PATCH", "PUT", "PATCH", "PUT", "PATCH", "PATCH"]
        self.assertEqual([ask.method for ask in server.asks], methods)

    def test_a_schedule_of_a_queue_that_is_not_there(self) -> None:
        """It cannot be made."""
        gone = problem("no-such-queue", 404)
        server = Server(gone, problem("precondition-failed", 412), gone)
        schedule = server.queue().schedule("nightly")
        self.assertRaises(NotFound, schedule.ensure, cron="* * * * *", message=Draft(""))
        self.assertRaises(NotFound, schedule.ensure, cron="* * * * *", message=Draft(""))

    def test_what_it_does(self) -> None:
        paused = {**SCHEDULE, "next": None, "state": "paused", "failures": 0, "last_error": None}
        server = Server(answer(SCHEDULE), answer({"schedules": [SCHEDULE]}), answer(paused), answer(SCHEDULE))
        queue = server.queue()
        schedule = queue.schedule("nightly")
        info = schedule.info()
        self.assertEqual(info.next, datetime(2025, 11, 27, 1, 30, tzinfo=timezone.utc))
        self.assertEqual(info.since, datetime(2025, 11, 26, 1, 30, tzinfo=timezone.utc))
        self.assertEqual((info.state, info.failures, info.last_error), ("failing", 12, "storage-full"))
        self.assertEqual((info.last_posted, info.missed, info.timezone), (None, "skip", "Europe/Berlin"))
        self.assertEqual(queue.schedules(), [info])
        self.assertEqual((schedule.pause().next, schedule.resume()), (None, info))
        listed = f"{ROOT}/queues/orders/schedules"
        urls = [("GET", PATH), ("GET", listed), ("POST", f"{PATH}/pause"), ("POST", f"{PATH}/resume")]
        self.assertEqual([(ask.method, ask.url) for ask in server.asks], urls)
        self.assertEqual(repr(schedule), "<Schedule nightly of orders>")

    def test_removing(self) -> None:
        gone = problem("no-such-schedule", 404)
        server = Server(answer(status=204), LOST, gone, gone)
        schedule = server.queue().schedule("nightly")
        schedule.remove()
        schedule.remove()  # an attempt before has done it
        self.assertRaises(NotFound, schedule.remove)


class NotedDriver:
    """Notes which calls it is given, and answers each with its name."""

    def run(self, steps: Any) -> Deferred[str]:
        name = steps.__name__
        steps.close()
        return succeed(name)


class FacesTests(SynchronousTestCase):
    """The other faces make the same calls."""

    def test_calls(self) -> None:
        calls = ScheduleCalls(Server().queue()._calls.session, "orders", "nightly")
        driver: Any = NotedDriver()
        for face in (aio.Schedule(driver, calls), tx.Schedule(driver, calls)):
            self.assertEqual((face.name, repr(face)), ("nightly", "<Schedule nightly of orders>"))
            for name in ("ensure", "info", "pause", "resume"):
                called: Any = getattr(face, name)()
                done = called if isinstance(called, Deferred) else Deferred.fromCoroutine(called)
                self.assertEqual(self.successResultOf(done), name)
            removed: Any = face.remove()
            done = removed if isinstance(removed, Deferred) else Deferred.fromCoroutine(removed)
            self.assertIn(self.successResultOf(done), ("remove", None))
