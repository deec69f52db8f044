"""The calls of a push, as generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from queuey_client.core.encoding import segment
from queuey_client.core.parsing import result_of
from queuey_client.core.push_values import (
    PushAttempt,
    PushInfo,
    PushSecret,
    PushTest,
    push_attempt,
    push_info,
    push_secret,
    push_test,
)
from queuey_client.core.queue_calls import ensured, removed
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Steps

NEEDED = ("url",)
"""Settings without which a push cannot be created."""

MAX_TEST = 320.0
"""Seconds that the server may take for a test: the longest time limit of a push, and its turn among other requests."""


class PushCalls:
    """What can be asked of one push."""

    def __init__(self, session: Session, queue: str, name: str) -> None:
        self.session = session
        self.queue = queue
        self.name = name
        self.path = f"/queues/{segment(queue)}/pushes/{segment(name)}"

    def ensure(self, settings: Mapping[str, Any]) -> Steps[PushInfo]:
        """Create the push, or give it these settings and leave the others."""
        answer = yield from ensured(self.session, self.path, settings, NEEDED)
        return result_of(answer, push_info)

    def info(self) -> Steps[PushInfo]:
        """Ask for the settings, and what the push does."""
        answer: Answer = yield from self.session.exchange(Call("GET", self.path))
        return result_of(answer, push_info)

    def pause(self) -> Steps[PushInfo]:
        """Pause it: messages wait in the queue until it is resumed."""
        answer: Answer = yield from self.session.exchange(Call("POST", f"{self.path}/pause"))
        return result_of(answer, push_info)

    def resume(self) -> Steps[PushInfo]:
        """Let it go on."""
        answer: Answer = yield from self.session.exchange(Call("POST", f"{self.path}/resume"))
        return result_of(answer, push_info)

    def test(self) -> Steps[PushTest]:
        """Let it send a test message now."""
        call = Call("POST", f"{self.path}/test", wait=MAX_TEST)
        answer: Answer = yield from self.session.exchange(call)
        return result_of(answer, push_test)

    def attempts(self) -> Steps[Sequence[PushAttempt]]:
        """Ask for the last attempts."""
        answer: Answer = yield from self.session.exchange(Call("GET", f"{self.path}/attempts"))
        return result_of(answer, lambda document: [push_attempt(each) for each in document["attempts"]])

    def add_secret(self) -> Steps[PushSecret]:
        """Add a secret. A repeat would add another one."""
        call = Call("POST", f"{self.path}/secrets", safe=False)
        answer: Answer = yield from self.session.exchange(call)
        return result_of(answer, push_secret)

    def remove_secret(self, id: str) -> Steps[None]:
        """Remove a secret."""
        yield from removed(self.session, f"{self.path}/secrets/{segment(id)}")

    def remove(self) -> Steps[None]:
        """Delete the push and its group."""
        yield from removed(self.session, self.path)


def pushes_of(session: Session, queue_path: str) -> Steps[Sequence[PushInfo]]:
    """Ask for all pushes of a queue."""
    answer: Answer = yield from session.exchange(Call("GET", f"{queue_path}/pushes"))
    return result_of(answer, lambda document: [push_info(each) for each in document["pushes"]])
