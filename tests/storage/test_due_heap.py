"""The agenda: what falls due, once, at its time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.timeid import Ticks
from queuey.storage.due_heap import DueHeap, Place
from tests.contracts.reading import foreign_id


class AgendaTests(SynchronousTestCase):
    """Places by their time."""

    def test_a_place_is_due_once_at_its_last_time(self) -> None:
        agenda: DueHeap[Place] = DueHeap()
        places = [(number, 1, foreign_id(number)) for number in range(4)]
        for place in places:
            agenda.put(place, Ticks(10 + place[0]))
        agenda.put(places[0], Ticks(20))
        agenda.drop(places[1])
        agenda.drop(places[1])
        self.assertEqual(agenda.due(Ticks(11)), [])
        self.assertEqual(agenda.due(Ticks(13)), places[2:])
        self.assertEqual(agenda.due(Ticks(20)), places[:1])
        self.assertEqual(agenda.due(Ticks(99)), [])

    def test_what_was_moved_or_dropped_leaves_nothing_behind(self) -> None:
        agenda: DueHeap[Place] = DueHeap()
        place = (1, 1, foreign_id(1))
        for number in range(1000):
            agenda.put(place, Ticks(number))
        self.assertLess(len(agenda), 100)
        for number in range(1000):
            agenda.put((number, 1, foreign_id(1)), Ticks(number))
            agenda.drop((number, 1, foreign_id(1)))
        self.assertLess(len(agenda), 100)
        self.assertEqual(agenda.due(Ticks(2000)), [])
