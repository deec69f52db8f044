"""Claims of several groups when the store cannot be asked about one of them."""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.groups.many_claims import ClaimSource, ManyClaims
from queuey.core.groups.values import Claiming, Delivered, Delivery
from queuey.errors import StorageFull, Unavailable

GIVEN = Delivered((cast(Delivery, "a message"),))
REFUSED, UNKNOWN = Unavailable("no"), Unavailable("perhaps", applied="unknown")
KEY = b"k" * 16


@attrs.define
class Takes:
    """Answers for each group, by its number; an exception is raised.

    :ivar asked: the numbers, in the order in which they were asked.
    """

    answers: dict[int, Any]
    asked: list[int] = attrs.Factory(list)

    async def take(self, queue: Any, group: Any, claiming: Claiming, partitions: Any) -> Delivered:
        """See ``Take``."""
        if claiming.known:
            return Delivered(())
        self.asked.append(group)
        answer = self.answers.get(group, Delivered(()))
        if isinstance(answer, Exception):
            raise answer
        return cast(Delivered, answer)


@attrs.frozen
class Source:
    """A group, by its number."""

    group: int
    queue: Any = None
    partitions: tuple[int, ...] = (1,)


class UnavailableTests(SynchronousTestCase):
    """What becomes of the claim depends on whether messages may have been leased."""

    def claim(self, takes: Takes, key: bytes | None = None) -> Deferred[Any]:
        claims = ManyClaims(cast(Any, None), cast(Any, None), takes.take, cast(Any, None))
        sources = cast(list[ClaimSource], [Source(number) for number in range(3)])
        return Deferred.fromCoroutine(claims.claim(sources, Claiming(10, key=key), strict=True))

    def test_a_group_that_was_not_asked_is_passed_over(self) -> None:
        for error in (REFUSED, StorageFull("full")):
            takes = Takes({0: error, 2: GIVEN})
            self.assertEqual(self.successResultOf(self.claim(takes)), (2, GIVEN))
            self.assertEqual(takes.asked, [0, 1, 2])

    def test_its_error_is_the_answer_if_the_others_have_nothing(self) -> None:
        self.assertIs(self.failureResultOf(self.claim(Takes({1: REFUSED}))).value, REFUSED)

    def test_a_group_that_may_have_leased_messages_ends_the_claim(self) -> None:
        """Otherwise the client would hear nothing of these; a repeat with the key is given them."""
        for key in (None, KEY):
            takes = Takes({0: UNKNOWN, 1: GIVEN})
            self.assertIs(self.failureResultOf(self.claim(takes, key)).value, UNKNOWN)
            self.assertEqual(takes.asked, [0])
