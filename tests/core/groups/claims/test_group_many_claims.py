"""Claims of several groups, and their settlements, when the store cannot be asked about one of them."""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.groups.many_claims import ClaimSource, ManyClaims, SourceFailed
from queuey.core.groups.values import Claiming, Delivered, Delivery
from queuey.errors import NoSuchGroup, StorageFull, Unavailable
from queuey.model.groups.terms import Outcome

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
    settlings: tuple[Any, ...] = ()


class UnavailableTests(SynchronousTestCase):
    """What becomes of the claim depends on whether messages may have been leased."""

    def claim(self, takes: Takes, key: bytes | None = None) -> Deferred[Any]:
        claims = ManyClaims(cast(Any, None), cast(Any, None), takes.take, cast(Any, None), cast(Any, None))
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


class SettleTests(SynchronousTestCase):
    """Settlements of several groups, of which some cannot be stored."""

    def claim(self, *results: Any, takes: Takes | None = None) -> tuple[Deferred[Any], list[Any]]:
        """Claim of groups that settle with these results, or raise them; ``None`` is a group that settles nothing."""
        outcomes: list[Any] = []

        def settle(queue: Any, group: Any, settlings: Any) -> Deferred[Any]:
            result = results[group]
            return fail(result) if isinstance(result, Exception) else succeed(result)

        takes = takes or Takes({0: GIVEN})
        claims = ManyClaims(cast(Any, None), cast(Any, None), takes.take, settle, cast(Any, None))
        sources = [Source(at, settlings=() if result is None else ("r",)) for at, result in enumerate(results)]
        of_many = cast(list[ClaimSource], sources)
        claimed = claims.claim(of_many, Claiming(10), strict=True, settled=outcomes.append)
        return Deferred.fromCoroutine(claimed), outcomes

    def test_outcomes(self) -> None:
        """They are in the order of the groups, and are told before messages are claimed."""
        stored, stale = (Outcome.ACKED,), (Outcome.STALE,)
        claimed, outcomes = self.claim(stored, None, stale)
        at, delivered = self.successResultOf(claimed)
        self.assertEqual((at, delivered.deliveries), (0, GIVEN.deliveries))
        self.assertEqual((delivered.outcomes, outcomes), (stored + stale, [stored + stale]))
        claimed, outcomes = self.claim(stored, takes=Takes({0: UNKNOWN}))
        self.assertIs(self.failureResultOf(claimed).value, UNKNOWN)
        self.assertEqual(outcomes, [stored])
        for result, applied in ((stored, "partly"), (stale, "no")):
            claimed, _ = self.claim(result, takes=Takes({0: REFUSED}))
            self.assertEqual(self.failureResultOf(claimed, Unavailable).value.applied, applied)

    def test_what_was_applied(self) -> None:
        """The error describes the settlements of all groups, and nothing is claimed."""
        stored, stale = (Outcome.ACKED,), (Outcome.STALE,)
        partly = Unavailable("half", applied="partly")
        for results, applied in (
            ((REFUSED, None), "no"),
            ((stale, REFUSED), "no"),
            ((REFUSED, stored), "partly"),
            ((partly, stale), "partly"),
            ((stored, REFUSED, UNKNOWN), "unknown"),
            ((StorageFull("full"), stored), "partly"),
        ):
            takes = Takes({0: GIVEN})
            claimed, outcomes = self.claim(*results, takes=takes)
            error = self.failureResultOf(claimed).value
            self.assertEqual((error.applied, takes.asked, outcomes), (applied, [], []), results)

    def test_a_group_that_is_gone(self) -> None:
        claimed, _ = self.claim((Outcome.ACKED,), NoSuchGroup("gone"))
        failed = self.failureResultOf(claimed, SourceFailed).value
        self.assertEqual((failed.at, failed.error.applied), (1, "partly"))
        self.assertIsInstance(failed.error, NoSuchGroup)

    def test_a_defect(self) -> None:
        claimed, _ = self.claim(ZeroDivisionError())
        self.failureResultOf(claimed, ZeroDivisionError)
