"""Schedules over v2: made, listed and ended; messages are posted once at their times, whichever process does it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
from twisted.internet.defer import fail

from queuey.core.policies import Policies
from queuey.core.schedules.directory import ScheduleDirectory
from queuey.core.schedules.engine import EVERY, REFRESH, ScheduleEngine
from queuey.core.schedules.rows import ScheduleRows
from queuey.errors import Unavailable
from queuey.model.schedules.stored import MAX_BODY, MAX_OF_QUEUE
from queuey.service.parts.scheduling import scheduling
from tests.http.api_support import OTHER, fields_of
from tests.http.group_support import GroupTestCase
from tests.http.responses import Response

BODY: dict[str, Any] = {"cron": "* * * * *", "message": {"body": "tick"}}

BAD: tuple[tuple[str, Any], ...] = (
    ("cron", None),
    ("cron", 7),
    ("cron", "* * * *"),
    ("cron", "0 0 30 2 *"),
    ("timezone", "Berlin"),
    ("timezone", 7),
    ("message", None),
    ("message", "x"),
    ("message", {}),
    ("message", {"body": "x" * (MAX_BODY + 1)}),
    ("message", {"body": "x", "ttl": 0}),
    ("missed", "all"),
    ("name", "other"),
    ("version", "7"),
    ("else", 1),
)


def without_next(answer: Response) -> dict[str, Any]:
    """A schedule as a client can send it, also after it was changed."""
    return {name: value for name, value in answer.json.items() if name != "version"}


class DyingRows(ScheduleRows):
    """Stores no change: the process has died before."""

    def change(self, place: Any, edit: Any) -> Any:
        return fail(Unavailable("died"))


class ScheduleTestCase(GroupTestCase):
    """Schedules of the queue ``q``; the clock stands at the beginning of a minute."""

    def setUp(self) -> None:
        super().setUp()
        self.made()
        self.engines: list[ScheduleEngine] = [self.assembly.schedules]
        self.clock.advance(60 - self.now() % 60)
        self.assembly.schedules.start()
        self.addCleanup(self.end)

    def now(self) -> float:
        return self.assembly.schedules.now()

    def end(self) -> None:
        for engine in self.engines:
            self.successResultOf(engine.stop())

    def put_schedule(self, name: str = "s", body: Any = None, **fields: str) -> Response:
        return self.send("PUT", f"/queues/q/schedules/{name}", BODY if body is None else body, fields_of(fields))

    def shown(self, name: str = "s") -> Response:
        return self.send("GET", f"/queues/q/schedules/{name}")

    def run_for(self, seconds: int) -> None:
        self.clock.pump([EVERY] * seconds)

    def seen(self) -> list[str]:
        return [one["body"] for one in self.send("GET", "/queues/q/messages").json["messages"]]

    def policies(self) -> Policies:
        found = self.assembly.schedules.policies
        assert isinstance(found, Policies)
        return found

    def another_process(self) -> ScheduleEngine:
        return self.put_together(self.assembly.store)[1]

    def put_together(self, store: Any) -> tuple[ScheduleDirectory, ScheduleEngine]:
        """The parts of another process, on a store of its own or on the same one."""
        parts = self.assembly.schedules
        return scheduling(
            reactor=self.clock,
            now=parts.now,
            store=store,
            directory=parts.directory,
            messages=parts.messages,
            policies=self.policies(),
        )


class ManagingTest(ScheduleTestCase):
    """What a request may do."""

    def test_make_show_list_replace_and_end(self) -> None:
        made = self.put_schedule()
        self.expect(201, made)
        self.assertEqual(made.json["cron"], "* * * * *")
        self.assertEqual((made.json["timezone"], made.json["missed"]), ("UTC", "skip"))
        self.assertEqual(made.json["message"], {"body": "tick", "content_type": "text/plain;charset=utf-8"})
        self.assertEqual(self.shown().json, made.json)
        self.assertEqual(self.send("GET", "/queues/q/schedules").json, {"schedules": [made.json]})
        # What a client was shown can be sent again.
        whole = without_next(made)
        other = {**whole, "message": {"body_base64": "/w==", "ttl": 60, "headers": {"a": 1}, "delay": 1.5}}
        changed = self.put_schedule(body=other)
        self.expect(200, changed)
        again = without_next(changed)
        self.assertEqual(changed.json["message"]["delay"], 1.5)
        self.assertEqual(self.put_schedule(body=again).json["message"], changed.json["message"])
        self.assertEqual(self.send("DELETE", "/queues/q/schedules/s").status, 204)
        self.expect(404, self.shown())
        self.assertEqual(self.send("DELETE", "/queues/q/schedules/s").status, 404)
        self.assertEqual(self.send("GET", "/queues/q/schedules").json, {"schedules": []})

    def test_bad_settings(self) -> None:
        for name, value in BAD:
            with self.subTest(name=name, value=str(value)[:40]):
                self.expect(400, self.put_schedule(body={**BODY, name: value}))
        self.expect(400, self.put_schedule("a%20b"))
        self.expect(404, self.shown())

    def test_conditions(self) -> None:
        self.expect(412, self.put_schedule(If_Match='"x"'))
        self.expect(201, self.put_schedule(If_None_Match="*"))
        self.expect(412, self.put_schedule(If_None_Match="*"))

    def test_another_application(self) -> None:
        for method, body in (("GET", None), ("PUT", BODY), ("DELETE", None)):
            answer = self.send(method, "/queues/q/schedules/s", body, OTHER)
            self.assertEqual(answer.status, 403)

    def test_number(self) -> None:
        for number in range(MAX_OF_QUEUE):
            self.expect(201, self.put_schedule(f"s{number}", {**BODY, "cron": "0 0 1 1 *"}))
        self.expect(409, self.put_schedule("one-more"))
        self.expect(200, self.put_schedule("s7"))


class PostingTest(ScheduleTestCase):
    """When messages are posted."""

    def test_each_minute_once(self) -> None:
        self.put_schedule()
        self.run_for(59)
        self.assertEqual(self.seen(), [])
        self.run_for(2)
        self.assertEqual(self.seen(), ["tick"])
        self.run_for(60)
        self.assertEqual(self.seen(), ["tick"] * 2)

    def test_two_processes(self) -> None:
        other = self.another_process()
        self.engines.append(other)
        other.start()
        self.put_schedule()
        self.run_for(125)
        self.assertEqual(self.seen(), ["tick"] * 2)

    def test_a_process_that_dies_before_it_stores_the_time(self) -> None:
        """The one that comes after it repeats the message under the same key."""
        first = self.another_process()
        self.put_schedule()
        (place,) = self.successResultOf(first.registry.read())
        self.successResultOf(self.assembly.schedules.stop())
        self.clock.advance(61)

        dying = attrs.evolve(first, rows=DyingRows(first.rows.states, first.rows.new_bytes))
        schedule = self.successResultOf(first.rows.read(place))
        assert schedule is not None
        self.failureResultOf(dying.run(place, schedule), Unavailable)
        self.assertEqual(self.seen(), ["tick"])
        second = self.another_process()
        self.engines.append(second)
        second.start()
        self.run_for(3)
        self.assertEqual(self.seen(), ["tick"])
        self.run_for(60)
        self.assertEqual(self.seen(), ["tick"] * 2)

    def test_missed_times(self) -> None:
        self.put_schedule("skips", {**BODY, "cron": "0 * * * *", "message": {"body": "skipped"}})
        self.put_schedule("once", {**BODY, "cron": "0 * * * *", "missed": "once", "message": {"body": "once"}})
        self.successResultOf(self.assembly.schedules.stop())
        self.clock.advance(5 * 3600 + 1800 - self.now() % 3600)
        engine = self.another_process()
        self.engines.append(engine)
        engine.start()
        self.run_for(10)
        self.assertEqual(self.seen(), ["once"])

    def test_many_at_once(self) -> None:
        """All that are due together are posted, also if the last of them wait for longer than a minute."""
        first, ahead = self.another_process(), [0.0]
        self.successResultOf(self.assembly.schedules.stop())

        class SlowRows(ScheduleRows):
            """After one change it is later by more than a minute."""

            def change(self, place: Any, edit: Any) -> Any:
                ahead[0] = 70.0
                return super().change(place, edit)

        rows = SlowRows(first.rows.states, first.rows.new_bytes)
        slow = attrs.evolve(first, rows=rows, now=lambda: self.now() + ahead[0])
        for name in ("a", "b", "c"):
            minute = datetime.fromtimestamp(self.now() + 60, UTC).minute
            self.put_schedule(name, {**BODY, "cron": f"{minute} * * * *", "message": {"body": name}})
        self.clock.advance(60)
        self.engines.append(slow)
        slow.start()
        self.run_for(1)
        self.assertEqual(sorted(self.seen()), ["a", "b", "c"])

    def test_deleted(self) -> None:
        self.put_schedule()
        self.send("DELETE", "/queues/q/schedules/s")
        self.run_for(70)
        self.assertEqual(self.seen(), [])
        self.assertEqual(self.assembly.schedules.registry.known, frozenset())

    def test_a_queue_that_is_deleted(self) -> None:
        """Its schedules are gone with it, and a new queue of that name has none."""
        self.put_schedule()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.assertEqual(self.send("PUT", "/queues/q", {}).status, 201)
        self.run_for(70)
        self.assertEqual(self.seen(), [])
        self.assertEqual(self.send("GET", "/queues/q/schedules").json, {"schedules": []})
        self.run_for(int(REFRESH) + 1)
        self.assertEqual(self.assembly.schedules.registry.known, frozenset())
