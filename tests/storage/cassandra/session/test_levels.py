"""The levels of reads and writes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.policy import Ack, Policy
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Consistency, QueueSettings
from queuey.model.reading.window import Window
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.cluster.port import Level
from tests.storage.cassandra.messages.message_support import MessagesSubject

POLICY = Policy("app", 1 << 20)

ONE_CENTRE = {
    Consistency.WEAK: (Level.ONE, Level.ONE),
    Consistency.STRONG: (Level.QUORUM, Level.QUORUM),
    Consistency.VERY_STRONG: (Level.QUORUM, Level.QUORUM),
}
SEVERAL = {
    Consistency.WEAK: (Level.LOCAL_ONE, Level.LOCAL_ONE),
    Consistency.STRONG: (Level.LOCAL_QUORUM, Level.LOCAL_QUORUM),
    Consistency.VERY_STRONG: (Level.EACH_QUORUM, Level.LOCAL_QUORUM),
}


class LevelTests(SynchronousTestCase):
    def test_by_the_consistency_of_a_queue(self) -> None:
        for multi_dc, expected in ((False, ONE_CENTRE), (True, SEVERAL)):
            levels = Levels(multi_dc)
            for consistency, (write, read) in expected.items():
                self.assertIs(levels.write(POLICY.write_terms(consistency).ack), write)
                self.assertIs(levels.read(POLICY.read_ack(consistency)), read)

    def test_a_change_reads_what_was_written_on_its_own_terms(self) -> None:
        for multi_dc, expected in ((False, ONE_CENTRE), (True, SEVERAL)):
            for consistency, (_, read) in expected.items():
                self.assertIs(Levels(multi_dc).read(POLICY.write_terms(consistency).ack), read)

    def test_what_goes_out(self) -> None:
        for multi_dc, expected in ((False, ONE_CENTRE), (True, SEVERAL)):
            for consistency, levels in expected.items():
                self.check(MessagesSubject(multi_dc=multi_dc), consistency, levels)

    def check(self, subject: MessagesSubject, consistency: Consistency, levels: tuple[Level, Level]) -> None:
        """Every statement of every operation goes out at the level of a write or a read."""
        store, terms, ack = subject.store, POLICY.write_terms(consistency), POLICY.read_ack(consistency)
        settings = QueueSettings(partitions=2, consistency=consistency)
        queue, _ = self.successResultOf(store.create("app", "q", settings, None))
        new = [NewMessage(1, Content(b"a"), 60), NewMessage(2, Content(b"b"), 1 << 24)]
        ids = self.successResultOf(store.append(queue, new, terms))
        where = [Address(1, ids[0])]
        answers: tuple[Deferred[Any], ...] = (
            store.append(queue, new[:1], terms),
            store.replace(queue, where, Content(b"c"), 1 << 24, terms),
            store.remove(queue, where, terms.ack),
            store.read_range(queue, Window((1, 2)), ack),
            store.lookup(queue, where, ack),
            store.count(queue, ack),
            store.measure(queue, ack),
        )
        for answer in answers:
            self.successResultOf(answer)
        texts = {"INSERT": levels[0], "UPDATE": levels[0], "BATCH": levels[0], "SELECT": levels[1]}
        seen = {(call.text.split()[0], call.level) for call in subject.session.calls}
        self.assertEqual(seen, set(texts.items()))

    def test_every_centre_is_slow(self) -> None:
        subject = MessagesSubject()
        queue, _ = self.successResultOf(subject.store.create("app", "q", QueueSettings(), None))
        slow: list[bool] = []
        begin = subject.times.begin

        weak: list[bool] = []

        def watch(places: object, how: bool, whose: bool) -> object:
            slow.append(how)
            weak.append(whose)
            return begin(places, how, whose)  # type: ignore[arg-type]

        subject.times.begin = watch  # type: ignore[assignment, method-assign]
        for consistency in Consistency:
            terms = POLICY.write_terms(consistency)
            self.successResultOf(subject.store.append(queue, [NewMessage(1, Content(b"a"), 60)], terms))
        self.assertEqual(slow, [POLICY.write_terms(c).ack is Ack.EVERY_CENTRE for c in Consistency])
        self.assertEqual(weak, [c is Consistency.WEAK for c in Consistency])
