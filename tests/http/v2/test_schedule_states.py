"""What schedules do, and what their owners see of it: failures, pauses, changes, and settings that are reloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail

from queuey import config
from queuey.core.schedules.engine import ScheduleEngine
from queuey.core.schedules.rows import Edit, ScheduleRows
from queuey.errors import KeyInUse, QueueyError, StorageFull, Unavailable
from queuey.http.v2.schedule_json import REPORTED
from queuey.model.pushes.places import PushPlace
from queuey.model.schedules.stored import LONGEST_PAUSE, Schedule
from queuey.model.telemetry.counts import Counter, Gauge
from tests.http.api_support import KEY, OTHER_KEY, SPARE_KEY, fields_of
from tests.http.responses import Response
from tests.http.v2.test_schedules import BODY, ScheduleTestCase

PATCH = "application/merge-patch+json"
ENDING = {**BODY, "message": {"body": "x" * 2000}}


@attrs.frozen
class Refusing:
    """A message exchange that stores nothing."""

    error: QueueyError

    def append_once(self, *_: Any) -> Deferred[Any]:
        return fail(self.error)


@attrs.frozen
class MeddledRows(ScheduleRows):
    """Rows to which something happens before the next change."""

    happens: list[Callable[[], None]]

    def change(self, place: PushPlace, edit: Edit) -> Deferred[tuple[Schedule | None, Schedule | None]]:
        while self.happens:
            self.happens.pop()()
        return super().change(place, edit)


class StateTestCase(ScheduleTestCase):
    def use(self, settings: str) -> None:
        """Reload settings."""
        file = Path(self.mktemp())
        file.write_text(settings)
        self.assembly.use(config.load(file))

    def settings_with(self, *lines: str, app: bool = True) -> str:
        keys = f"app = {KEY}\n    {SPARE_KEY}\n" if app else ""
        section = "[application:app]\n" + "".join(f"{line}\n" for line in lines) if app else ""
        return f"[storage]\nbackend = memory\n[application_keys]\n{keys}other = {OTHER_KEY}\n{section}"

    def patched(self, body: Any, name: str = "s", **fields: str) -> Response:
        return self.send("PATCH", f"/queues/q/schedules/{name}", body, fields_of(fields), PATCH)

    def act(self, what: str, name: str = "s", **fields: str) -> Response:
        return self.send("POST", f"/queues/q/schedules/{name}/{what}", None, fields_of(fields))

    def report(self, name: str = "s") -> tuple[str, int, str | None]:
        found = self.shown(name).json
        return found["state"], found["failures"], found["last_error"]

    def counted(self, name: str, engine: ScheduleEngine | None = None) -> dict[tuple[str, ...], float]:
        """The values of a metric."""
        (metric,) = [
            one for one in (engine or self.assembly.schedules).counts.metrics if one.name == f"queuey_schedule{name}"
        ]
        assert isinstance(metric, Counter | Gauge)
        return dict(metric.values if isinstance(metric, Counter) else metric.read())


class FailureTests(StateTestCase):
    """A message that cannot be posted."""

    def test_quota(self) -> None:
        """It is shown, counted, and tried again in bounds; other schedules go on; then it is over."""
        self.make("full")
        self.assertEqual(self.send("PUT", "/queues/full/schedules/s", ENDING).status, 201)
        self.put_schedule("small")
        self.use(self.settings_with("max_queue_bytes = 1000"))
        self.run_for(61)
        found = self.send("GET", "/queues/full/schedules/s").json
        self.assertEqual((found["state"], found["failures"], found["last_error"]), ("failing", 1, "storage-full"))
        self.assertIn("1000 bytes", found["last_error_detail"])
        self.assertEqual(found["since"], found["last_error_time"])
        self.assertIsNone(found["last_posted"])
        self.assertEqual((self.seen(), self.report("small")), (["tick"], ("active", 0, None)))
        self.assertEqual(self.counted("s"), {("app", "failing"): 1, ("app", "active"): 1})
        self.assertEqual(self.counted("_failures_total"), {("app", "storage-full"): 1})
        self.run_for(5 + 10 + 20)
        self.assertEqual(self.send("GET", "/queues/full/schedules/s").json["failures"], 4)
        self.run_for(600)
        failures = self.send("GET", "/queues/full/schedules/s").json["failures"]
        self.assertGreater(failures, 8)
        self.assertLess(failures, 4 + 600 / LONGEST_PAUSE + 3)
        self.assertEqual(self.counted("_failures_total"), {("app", "storage-full"): failures})
        self.assertEqual((len(self.seen()), self.counted("_missed_total")), (11, {}))
        self.use(self.settings_with())
        self.run_for(61)
        found = self.send("GET", "/queues/full/schedules/s").json
        self.assertEqual((found["state"], found["failures"], found["last_error"]), ("active", 0, None))
        self.assertEqual((found["since"], found["last_error_time"]), (None, None))
        self.assertIsNotNone(found["last_posted"])
        self.assertEqual(self.counted("s"), {("app", "active"): 2})
        self.assertEqual((self.counted("_posts_total"), self.counted("_missed_total")), ({("app",): 13}, {("app",): 1}))

    def test_made_up_for(self) -> None:
        """With ``once``, the times that failed get one message."""
        self.put_schedule(body={**ENDING, "missed": "once"})
        self.use(self.settings_with("max_queue_bytes = 1000"))
        self.run_for(600)
        self.assertEqual(self.report()[0], "failing")
        self.assertEqual(self.counted("_missed_total"), {})
        self.use(self.settings_with())
        self.run_for(LONGEST_PAUSE)
        self.assertIn(len(self.seen()), (1, 2))  # the minute of the recovery has one of its own

    def test_body_too_large(self) -> None:
        self.put_schedule(body=ENDING)
        self.use(self.settings_with("max_body = 1000"))
        self.run_for(62)
        self.assertEqual(self.report(), ("failing", 1, "too-large"))

    def test_rate(self) -> None:
        self.use(self.settings_with("queue_message_rate = 0.01", "queue_message_burst = 1"))
        self.put_schedule("a")
        self.put_schedule("b")
        self.run_for(61)
        states = {self.report("a"), self.report("b")}
        self.assertEqual(states, {("active", 0, None), ("failing", 1, "too-many-requests")})

    def test_closed_queue(self) -> None:
        self.put_schedule()
        self.expect(201, self.send("POST", "/queues/q/messages?close=true", b"last", content_type="text/plain"))
        self.run_for(62)
        self.assertEqual(self.report(), ("failing", 1, "queue-closed"))

    def test_weak_queue(self) -> None:
        self.put_schedule()
        changed = self.send("PATCH", "/queues/q", {"consistency": "weak"}, content_type=PATCH)
        self.expect(200, changed)
        self.run_for(62)
        self.assertEqual(self.report(), ("failing", 1, "not-promised"))

    def test_two_processes_count_a_failure_once(self) -> None:
        other = self.another_process()
        self.engines.append(other)
        other.start()
        self.put_schedule(body=ENDING)
        self.use(self.settings_with("max_queue_bytes = 1000"))
        self.run_for(61 + 5 + 10)
        self.assertEqual(self.report(), ("failing", 3, "storage-full"))
        for engine in self.engines:
            self.assertEqual(self.counted("s", engine), {("app", "failing"): 1})

    def test_a_failure_and_a_success_at_once(self) -> None:
        """If one process posts the message and another one fails meanwhile, the time is done with."""
        self.put_schedule()
        (place,) = self.successResultOf(self.assembly.schedules.registry.read())
        self.successResultOf(self.assembly.schedules.stop())
        self.clock.advance(61)
        engine, other = self.another_process(), self.another_process()
        schedule = self.successResultOf(engine.rows.read(place))
        assert schedule is not None

        def fails() -> None:
            object.__setattr__(other, "messages", Refusing(StorageFull("full")))
            found = self.successResultOf(other.run(place, schedule))
            assert found is not None
            self.assertIsNotNone(found.failing)

        meddled = attrs.evolve(engine, rows=MeddledRows(engine.rows.states, engine.rows.new_bytes, [fails]))
        done = self.successResultOf(meddled.run(place, schedule))
        assert done is not None
        self.assertEqual((done.failing, done.posted), (None, done.last))
        self.assertGreater(done.last, schedule.last)
        self.assertEqual(self.report(), ("active", 0, None))

    def test_a_message_that_another_process_posts_at_the_moment(self) -> None:
        """That is no failure; it is looked at again soon."""
        self.put_schedule()
        self.successResultOf(self.assembly.schedules.stop())
        engine = self.another_process()
        self.engines.append(engine)
        real = engine.messages
        object.__setattr__(engine, "messages", Refusing(KeyInUse("under way")))
        engine.start()
        self.run_for(62)
        self.assertEqual((self.report(), self.seen()), (("active", 0, None), []))
        self.assertEqual(self.counted("_failures_total", engine), {})
        object.__setattr__(engine, "messages", real)
        self.run_for(6)
        self.assertEqual(self.seen(), ["tick"])

    def test_other_settings_are_tried_at_once(self) -> None:
        self.put_schedule(body={**ENDING, "missed": "once"})
        self.use(self.settings_with("max_queue_bytes = 1000"))
        self.run_for(180)
        self.assertEqual(self.report()[0], "failing")
        self.expect(200, self.patched({"message": {"body": "small"}}))
        self.run_for(2)
        self.assertEqual((self.report(), self.seen()), (("active", 0, None), ["small"]))

    def test_a_store_that_does_not_answer(self) -> None:
        """What cannot be stored is tried again less and less often."""
        self.put_schedule()
        rows, reads = self.assembly.schedules.rows, [0]

        def away(place: PushPlace) -> Deferred[None]:
            reads[0] += 1
            return fail(Unavailable("away"))

        engine = self.another_process()
        self.engines.append(engine)
        object.__setattr__(engine, "rows", type("Away", (), {"read": staticmethod(away), "change": rows.change})())
        engine.start()
        self.run_for(600)
        self.assertLess(reads[0], 4 + 600 / 60 + 3)
        self.assertGreater(reads[0], 8)


class PauseTests(StateTestCase):
    """Pause and resume."""

    def test_pause(self) -> None:
        self.put_schedule(body={**BODY, "missed": "once"})
        paused = self.act("pause")
        self.expect(200, paused)
        self.assertEqual((paused.json["state"], paused.json["next"]), ("paused", None))
        self.assertIsNotNone(paused.json["since"])
        self.assertEqual(self.act("pause").json, paused.json)
        self.run_for(300)
        self.assertEqual((self.seen(), self.counted("s")), ([], {("app", "paused"): 1}))
        # A pause outlasts other settings.
        self.assertEqual(self.put_schedule(body={**BODY, "cron": "*/2 * * * *"}).json["state"], "paused")
        self.expect(200, self.patched(BODY))
        self.run_for(60)
        resumed = self.act("resume")
        self.assertEqual((resumed.json["state"], resumed.json["since"]), ("active", None))
        self.run_for(10)
        self.assertEqual(self.seen(), [])  # what passed meanwhile gets no message
        self.run_for(60)
        self.assertEqual(self.seen(), ["tick"])
        self.expect(404, self.act("pause", "none"))
        self.expect(404, self.act("resume", "a%20b"))

    def test_reported(self) -> None:
        """A PATCH of what only shows what the schedule does is refused, and says what changes it; a PUT ignores it."""
        made = self.put_schedule().json
        for name, hint in REPORTED.items():
            answer = self.patched({name: made[name], "missed": "once"})
            self.expect(400, answer)
            self.assertEqual(answer.json["errors"], [{"detail": f"is read-only: {hint}", "pointer": f"/{name}"}])
        self.assertEqual(self.shown().json, made)
        self.expect(200, self.put_schedule(body={**made, "state": "paused"}))
        self.assertEqual(self.shown().json["state"], "active")

    def test_paused_by_another_process(self) -> None:
        other = self.another_process()
        self.engines.append(other)
        other.start()
        self.put_schedule()
        self.run_for(61)
        self.act("pause")
        self.run_for(120)
        self.assertEqual(len(self.seen()), 1)

    def test_conditions(self) -> None:
        made = self.put_schedule()
        self.expect(412, self.act("pause", If_Match='"other"'))
        self.expect(200, self.act("pause", If_Match=f'"{made.json["version"]}"'))


class PatchTests(StateTestCase):
    """Changes of single members."""

    def test_members(self) -> None:
        made = self.put_schedule(body={**BODY, "missed": "once", "timezone": "Europe/Berlin"})
        changed = self.patched({"cron": "0 3 * * *", "timezone": None})
        self.expect(200, changed)
        self.assertEqual((changed.json["cron"], changed.json["timezone"], changed.json["missed"]), (
            "0 3 * * *", "UTC", "once",
        ))  # fmt: skip
        self.assertNotEqual(changed.json["version"], made.json["version"])
        changed = self.patched({"message": {"body_base64": "/w==", "ttl": 60}, "missed": None})
        self.assertEqual(changed.json["message"]["body_base64"], "/w==")
        self.assertEqual(changed.json["missed"], "skip")
        for wrong in ({"cron": None}, {"cron": "x"}, {"message": None}, {"message": {"ttl": 60}}, {"else": 1}):
            self.expect(400, self.patched(wrong))
        self.assertEqual(self.shown().json, changed.json)
        self.expect(404, self.patched({}, "none"))
        self.expect(200, self.patched({name: changed.json[name] for name in (*BODY, "name", "created")}))
        self.expect(412, self.patched({}, If_Match='"x"'))

    def test_a_time_that_has_come(self) -> None:
        """A change that comes after a time, and before its message, does not lose it."""
        self.put_schedule()
        self.clock.advance(60 - self.now() % 60)
        self.successResultOf(self.assembly.schedules.stop())
        self.clock.advance(1)
        self.expect(200, self.put_schedule(body={**BODY, "message": {"body": "other"}}))
        engine = self.another_process()
        self.engines.append(engine)
        engine.start()
        self.run_for(5)
        self.assertEqual(len(self.seen()), 1)


class ReloadTests(StateTestCase):
    """Settings that are reloaded while schedules run."""

    def test_application_that_is_removed_and_comes_back(self) -> None:
        self.put_schedule()
        self.run_for(61)
        self.use(self.settings_with(app=False))
        self.run_for(300)
        self.use(self.settings_with())
        self.assertEqual(self.seen(), ["tick"])
        self.run_for(6)  # at the next look at the registry
        self.assertEqual(self.counted("s"), {("app", "active"): 1})
        self.run_for(55)
        self.assertGreater(len(self.seen()), 1)

    def test_limits(self) -> None:
        """A quota stops a schedule, and a larger one lets it go on."""
        self.use(self.settings_with("max_messages = 1"))
        self.put_schedule()
        self.run_for(125)
        self.assertEqual((len(self.seen()), self.report()[0]), (1, "failing"))
        self.use(self.settings_with("max_messages = 100"))
        self.run_for(LONGEST_PAUSE)
        self.assertEqual(self.report()[0], "active")
        self.assertGreater(len(self.seen()), 1)
