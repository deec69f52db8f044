"""Results that are remembered with a head, so that the next request with the same head does not compute them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from queuey.core.groups.values import Claiming
    from queuey.http.admission.gate import AdmittedToQueue
    from queuey.http.routes import Endpoint
    from queuey.model.applications.policy import Policy
    from queuey.model.queues.queue import Queue

_OF_GATE: Final = frozenset({"application", "queue"})


class Decision:
    """The decision to let the requests of a head in, and what follows from it.

    It holds for one version of the policy and of the queue. Both are replaced, never mutated, so the objects themselves
    are the versions: compare them with ``is``.

    :ivar policy: the version of the policy that was decided by.
    :ivar queue: the version of the queue that was decided by.
    :ivar again: callbacks that are called at each use of the remembered credentials; false means that they no longer
        hold.
    :ivar own: whether the caller is the application itself.
    :ivar limited: whether the application has rates.
    :ivar challenge: the authentication schemes that the application accepts.
    :ivar stored: the word of an answer for how messages are stored; ``None`` until messages were stored.
    :ivar claim: the last body of a claim, if the next one may be the same, and the claim that it asks for.
    """

    __slots__ = (
        "admitted", "again", "challenge", "claim", "limited", "own", "policy", "queue", "stored",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        queue: Queue,
        admitted: AdmittedToQueue,
        again: Sequence[Callable[[], bool]],
        *,
        own: bool,
        limited: bool,
        challenge: bytes,
    ) -> None:
        self.policy = policy
        self.queue = queue
        self.admitted = admitted
        self.again = again
        self.own = own
        self.limited = limited
        self.challenge = challenge
        self.stored: str | None = None
        self.claim: tuple[bytes, tuple[Claiming, bool]] | None = None


class Plan:
    """The results for one head. It lives as long as the head, which many requests may share.

    All but ``decision`` depends on the head alone.

    :ivar endpoint: the endpoint that serves the path.
    :ivar names: the variable parts of the path, by name; ``others``: those besides the application and the queue.
    :ivar decision: the remembered decision to let requests in.
    :ivar checked: whether the head has passed the route's check.
    :ivar body_type: the media type of the body without parameters; empty if it was not determined.
    :ivar content: the Content-Type of the body as a message, if the head says no more about it.
    :ivar keyed: whether the head has an Idempotency-Key for the message.
    """

    __slots__ = ("body_type", "checked", "content", "decision", "endpoint", "keyed", "names", "others")

    def __init__(self, endpoint: Endpoint, names: dict[str, str]) -> None:
        self.endpoint = endpoint
        self.names = names
        self.others = {name: value for name, value in names.items() if name not in _OF_GATE}
        self.decision: Decision | None = None
        self.checked = False
        self.body_type = ""
        self.content: tuple[str | None] | None = None
        self.keyed = False

    def decision_for(self, admitted: AdmittedToQueue) -> Decision | None:
        """Return the decision that a request was let in by; ``None`` if it was let in without one."""
        decision = self.decision
        return decision if decision is not None and decision.admitted is admitted else None
