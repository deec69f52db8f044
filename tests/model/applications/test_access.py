"""Access, for every combination of caller, queue and operation."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.access import Operation, allowed
from queuey.model.queues.queue import Queue, QueueSettings, QueueType
from queuey.model.timeid import Ticks

CALLERS = {
    "anonymous": frozenset[str](),
    "owner": frozenset({"app:a"}),
    "other": frozenset({"app:b"}),
    "user": frozenset({"bid:ann@example.org"}),
    "stranger": frozenset({"bid:bob@example.org"}),
    "owner and user": frozenset({"app:a", "bid:ann@example.org"}),
}

QUEUES = {
    "none": None,
    "plain": QueueSettings(),
    "public": QueueSettings(type=QueueType.PUBLIC),
    "shared": QueueSettings(principals=("app:b", "bid:ann@example.org")),
    "public shared": QueueSettings(type=QueueType.PUBLIC, principals=("bid:ann@example.org",)),
}

OWNER = {"owner", "owner and user"}
EVERYONE = set(CALLERS)

READ = {
    "plain": OWNER,
    "public": EVERYONE,
    "shared": {"other", "user", "owner and user"},
    "public shared": EVERYONE,
}

DELETE = {
    "plain": OWNER,
    "public": OWNER,
    "shared": {"other", "user", "owner and user"},
    "public shared": {"user", "owner and user"},
}

SEE = {
    "plain": OWNER,
    "public": EVERYONE,
    "shared": {"owner", "other", "user", "owner and user"},
    "public shared": EVERYONE,
}

WORK = {
    "plain": OWNER,
    "public": OWNER,
    "shared": {"other", "user", "owner and user"},
    "public shared": {"user", "owner and user"},
}

LOOK = {
    "plain": OWNER,
    "public": OWNER,
    "shared": {"owner", "other", "user", "owner and user"},
    "public shared": {"owner", "user", "owner and user"},
}

KNOWN = dict.fromkeys(QUEUES, EVERYONE - {"anonymous"})

EXPECTED = {
    Operation.READ_MESSAGES: READ,
    Operation.DELETE_MESSAGES: DELETE,
    Operation.SEE_QUEUE: SEE,
    Operation.SEE_GROUPS: LOOK,
    Operation.CLAIM_MESSAGES: WORK,
    Operation.SETTLE_MESSAGES: WORK,
    Operation.DESCRIBE: KNOWN,
}


class AccessTests(SynchronousTestCase):
    """The table of who may do what, written out."""

    def test_every_combination(self) -> None:
        """Owners alone, but for what principals and public queues open, and what everybody may know who is known."""
        for operation, (queue_kind, settings), (kind, caller) in product(Operation, QUEUES.items(), CALLERS.items()):
            queue = None if settings is None else Queue("a", "q", settings, 1, "v", Ticks(0))
            expected = EXPECTED.get(operation, {}).get(queue_kind, OWNER)
            self.assertEqual(
                allowed(operation, caller, "a", queue),
                kind in expected,
                f"{kind} wants to {operation.value} where the queue is {queue_kind}",
            )
