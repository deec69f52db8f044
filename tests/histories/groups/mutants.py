"""Rules of groups that are broken on purpose, each with the checker that has to find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from queuey.core.groups import dead_letters, settling
from queuey.core.messages import MessageExchange
from queuey.model.groups import claims as claim_rules
from queuey.model.groups import index as indexes
from queuey.model.groups import settlements
from queuey.model.groups.events import Sought
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.receipts import Receipts
from queuey.storage import group_commands
from queuey.storage.cassandra.groups import partition_claims
from queuey.storage.cassandra.groups.append import Append
from queuey.storage.cassandra.groups.cells import Cell
from tests.histories.groups import broken_claims, in_process, unreliable
from tests.histories.groups import broken_rules as rules
from tests.histories.groups.unreliable import FATES, Calls, Fate, Kind, UnreliableGroups


@attrs.frozen
class Mutant:
    """Something that is broken.

    :ivar name: what.
    :ivar checker: who has to find it.
    :ivar group: the plans of the groups in whose histories that shows, separated by spaces.
    :ivar patches: what is put in the place of what, and where.
    :ivar tables: whether it breaks what keeps states in tables of Cassandra.
    :ivar steps: of each history; few where messages are given without end, so that each step makes later ones slower.
    """

    name: str
    checker: str
    group: str
    patches: tuple[tuple[Any, str, Any], ...]
    tables: bool = False
    steps: int = 1000

    @contextmanager
    def at_large(self) -> Iterator[None]:
        """Let it be so meanwhile."""
        before = [(where, name, getattr(where, name)) for where, name, _ in self.patches]
        for where, name, value in self.patches:
            setattr(where, name, value)
        try:
            yield
        finally:
            for where, name, value in before:
                setattr(where, name, value)


def _seeking(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    return ((indexes, "_APPLY", {**indexes._APPLY, Sought: way}),)


def _claiming(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    """For the embedded stores, and for tables of Cassandra."""
    return (claim_rules, "claim", way), (partition_claims, "claim", way)


def _settling(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    return (group_commands, "settle", way), (settlements, "settle", way)


def unanswered(kind: Kind) -> tuple[tuple[Any, str, Any], ...]:
    """Let every second call of a kind be done and not answered, and nothing else fail; no front end ends.

    For what shows only then, and might be taken for an answer that was lost in another way.
    """
    fates = {**dict.fromkeys(FATES, ((Fate.DONE, 1),)), kind: ((Fate.DONE, 1), (Fate.UNANSWERED, 1))}
    return (unreliable, "FATES", fates), (in_process, "KILLS", 0.0)


_TOKENLESS: Final = ((Append, "read", rules.forgets_its_token), *unanswered(Kind.SWAP))
_ENDLESS: Final = (
    (GroupIndex, "_classify", rules.endless),
    (settlements, "is_over", rules.never),
    (claim_rules, "is_over", rules.never),
)

MUTANTS: Final = (
    Mutant("a lease number that is not compared", "fence", "plain", _settling(rules.unfenced)),
    Mutant("acks that are not remembered", "remembered", "plain", ((GroupIndex, "was_acked", rules.never),)),
    Mutant("a retry that settles", "lost", "plain", ((settlements, "_retry", rules.retry_is_ack),)),
    Mutant("an answer before the transaction", "acked_again", "plain", ((UnreliableGroups, "run", rules.hasty),)),
    Mutant("the same, at most once", "given_again", "once", ((UnreliableGroups, "run", rules.hasty),)),
    Mutant(
        "an answer of a cell before its transaction",
        "acked_again",
        "plain",
        ((Cell, "change", rules.hasty_cell),),
        True,
    ),
    Mutant("the same of a cell, at most once", "given_again", "once", ((Cell, "change", rules.hasty_cell),), True),
    Mutant(
        "a claim at most once that settles later",
        "given_again",
        "once",
        _claiming(rules.settles_later),
        steps=100,
    ),
    Mutant("a change that is not known again", "lost_at_most_once", "once", _TOKENLESS, True),
    Mutant("a claim that does not move on", "acked_again", "plain", _claiming(rules.stands_still), steps=100),
    Mutant("a limit before the bound", "lost", "plain", _claiming(rules.examines_too_much)),
    Mutant("the newest first", "first_order", "plain", _claiming(rules.newest_first)),
    Mutant("a lease that is none", "together", "plain", ((claim_rules, "look", rules.impatient),)),
    Mutant(
        "an order that is none",
        "turns",
        "row",
        ((claim_rules, "look", rules.out_of_turn), *_claiming(rules.claims_out_of_turn)),
    ),
    Mutant(
        "keys in no order",
        "key_turns",
        "keys",
        ((claim_rules, "look", rules.out_of_turn), *_claiming(rules.claims_out_of_turn)),
    ),
    Mutant("keys of messages that wait are forgotten", "key_turns", "keys", _claiming(rules.forgets_keys)),
    Mutant("a key of a claim that is ignored", "repeats", "plain", ((claim_rules, "_living", rules.nothing),)),
    Mutant(
        "no limit of deliveries",
        "deliveries",
        "aside",
        _ENDLESS,
    ),
    Mutant("deliveries that are not counted", "deliveries", "plain", ((indexes, "MAX_DELIVERIES", 1),)),
    Mutant(
        "a seek within a generation",
        "generations",
        "sought",
        _seeking(rules.in_the_same_generation),
    ),
    Mutant(
        "lease numbers that begin anew",
        "leases",
        "sought",
        _seeking(rules.from_one_on),
    ),
    Mutant(
        "a dead letter without its key",
        "buried_twice",
        "dead",
        ((dead_letters.DeadLetters, "_append", rules.without_its_key), *unanswered(Kind.WRITE)),
    ),
    Mutant("a dead letter that is not written", "lost", "dead", ((dead_letters.DeadLetters, "_out", rules.nowhere),)),
    Mutant("a redrive that settles", "lost", "dead", ((dead_letters.DeadLetters, "_in", rules.for_good),)),
    Mutant("a dead letter of another message", "altered", "dead", ((dead_letters, "dead_letter", rules.of_another),)),
    Mutant(
        "a producer's key that is ignored",
        "several_ids",
        "plain",
        ((MessageExchange, "append_once", rules.as_if_new),),
    ),
    Mutant("receipts without a seal", "forgeries", "plain", ((Receipts, "_seal", rules.unsealed),)),
    Mutant("another secret", "disowned", "plain", ((settling, "Receipts", rules.with_another_secret),)),
    Mutant("a repeat by any group", "repeats", "plain dead aside", (broken_claims.ANY,), steps=2000),
    Mutant(
        "a claim that takes of all", "lost_at_most_once", "once plain", (broken_claims.ALL, *unanswered(Kind.WRITE))
    ),
    Mutant("a claim that settles nothing", "remembered", "plain dead aside", (broken_claims.NONE,)),
    Mutant(
        "settlements that a refused claim does not tell of",
        "lost",
        "plain dead aside",
        (broken_claims.UNSAID,),
        steps=3000,
    ),
    Mutant("a refusal that is none", "unexpected", "plain", ((Calls, "_meet", rules.refuses_what_it_does),)),
)
"""All of them."""
