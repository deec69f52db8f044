"""Many front ends change the same queues."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from queuey.model.queues.queue import Consistency, QueueSettings
from tests.storage.cassandra.registry.test_registry import AGE, MIDDLE, OTHER, RegistryCase


class ManyTests(RegistryCase):
    """Many front ends remember for a while, and who changes something waits that long."""

    age = AGE

    def waits(self, answer: Deferred[Any]) -> None:
        self.assertNoResult(answer)
        self.pass_time(AGE)
        self.assertNoResult(answer)
        self.pass_time(0.02)

    def test_forget(self) -> None:
        queue = self.make()
        self.assertEqual(self.described(self.there), queue)
        forgetting = self.registry.forget(queue)
        self.assertIsNone(self.described(self.here))
        self.assertEqual(self.described(self.there), queue)
        self.waits(forgetting)
        self.assertTrue(self.successResultOf(forgetting))
        self.assertIsNone(self.described(self.there))
        self.assertEqual(self.session._rows("queues"), [])

    def test_a_name_is_made_anew_once_all_know_that_it_was_deleted(self) -> None:
        old = self.make()
        self.registry.forget(old)
        self.pass_time(1)
        making = self.there.registry.create("app", "queue", OTHER, None)
        self.assertNoResult(making)
        self.pass_time(0.3)
        self.assertNoResult(making)
        self.pass_time(1)
        new, made = self.successResultOf(making)
        self.assertTrue(made)
        self.assertNotEqual(new.incarnation, old.incarnation)
        self.assertEqual(self.described(self.here), new)

    def test_update(self) -> None:
        queue = self.make()
        self.described(self.there)
        updating = self.registry.update(queue, OTHER)
        self.waits(updating)
        self.assertEqual(self.described(self.there), self.successResultOf(updating))

    def test_purge(self) -> None:
        queue = self.make()
        self.described(self.there)
        purging = self.registry.set_purged(queue, {1: MIDDLE}, 5)
        self.waits(purging)
        self.assertTrue(self.successResultOf(purging))
        incarnation = self.successResultOf(self.there.registry.current(queue))
        assert incarnation is not None
        self.assertEqual(incarnation.purged, {1: (MIDDLE, 5)})

    def test_an_answer_that_took_too_long_is_asked_for_anew(self) -> None:
        queue = self.make()
        self.session.hold = True
        asking = self.registry.current(queue)
        self.pass_time(AGE)
        self.session.turn()
        self.assertNoResult(asking)
        self.session.turn()
        self.assertIsNotNone(self.successResultOf(asking))
        asking = self.front("c").registry.current(queue)
        self.successResultOf(asking)

    def test_a_cluster_that_is_always_too_slow(self) -> None:
        queue = self.make()
        self.session.hold = True
        asking = self.registry.current(queue)
        for _ in range(20):
            self.pass_time(AGE)
            self.session.turn()
        self.failed(asking, "no")

    def test_whoever_waits_may_go(self) -> None:
        queue = self.make()
        forgetting = self.registry.forget(queue)
        forgetting.cancel()
        self.failureResultOf(forgetting)
        self.pass_time(2)
        self.assertEqual(self.session._rows("queues"), [])

    def test_weak_queues_go_on_as_they_were_known(self) -> None:
        weak = QueueSettings(consistency=Consistency.WEAK)
        queue, _ = self.successResultOf(self.registry.create("app", "weak", weak, None))
        self.make("strong")
        for name in ("weak", "strong"):
            self.described(self.here, name)
        self.silence()
        self.pass_time(AGE)
        for _ in range(2):
            self.assertEqual(self.described(self.here, "weak"), queue)
            incarnation = self.successResultOf(self.registry.current(queue))
            self.assertEqual(incarnation and incarnation.queue, queue)
            self.failed(self.registry.describe("app", ["strong"]), "no")
        self.speak()
        deleted = self.there.registry.forget(queue)
        self.pass_time(60)
        self.assertTrue(self.successResultOf(deleted))
        self.assertIn(self.described(self.here, "weak"), (queue, None))
        self.assertIsNone(self.described(self.here, "weak"))
        self.silence()
        self.failed(self.registry.describe("app", ["weak"]), "no")

    def test_weak_queues_are_asked_for_meanwhile(self) -> None:
        queue, _ = self.successResultOf(
            self.registry.create("app", "weak", QueueSettings(consistency=Consistency.WEAK), None)
        )
        self.described(self.here, "weak")
        self.silence()
        self.pass_time(AGE)
        self.described(self.here, "weak")
        self.speak()
        changed = self.there.registry.update(queue, QueueSettings(consistency=Consistency.STRONG))
        self.pass_time(60)
        self.successResultOf(changed)
        self.described(self.here, "weak")
        found = self.described(self.here, "weak")
        self.assertEqual(found and found.settings.consistency, Consistency.STRONG)
        self.silence()
        self.pass_time(AGE)
        self.failed(self.registry.describe("app", ["weak"]), "no")
