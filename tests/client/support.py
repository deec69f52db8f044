"""A server that is a list of answers, and the client's face for threads in front of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Union

from queuey_client import Answer, Ask, NoAnswer, Queue, Retry
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.session import Credentials, Session
from queuey_client.sync.transport import Driver

KEY = "f25bfb8fe200475c8a0532a9cbe7651e"
ROOT = "http://server/v2/shop"

Reply = Union[Answer, NoAnswer, Callable[[Ask], Answer]]


def answer(document: object = None, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON document, or with nothing."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if document is None:
        return Answer(status, fields)
    return Answer(status, {"content-type": "application/json", **fields}, json.dumps(document).encode())


def problem(code: str, status: int, retryable: bool = False, applied: str = "no", **more: Any) -> Answer:
    """A problem document."""
    headers = {"content-type": "application/problem+json", **more.pop("headers", {})}
    document = {"code": code, "status": status, "detail": f"said {code}", "retryable": retryable, "applied": applied}
    return Answer(status, headers, json.dumps({**document, **more}).encode())


STORED = {"messages": [{"id": "1-1"}], "stored": {"consistency": "strong", "durable": True}, "duplicate": False}
LOST = NoAnswer("cut")
REFUSED = NoAnswer("refused", sent=False)


class Server:
    """Answers requests from a list, and is a clock that sleeping moves."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = [*replies]
        self.asks: list[Ask] = []
        self.sleeps: list[float] = []
        self.now = 1000.0
        self.takes = 0.0

    def send(self, ask: Ask) -> Answer:
        """Answer, or not."""
        self.asks.append(ask)
        self.now += self.takes
        reply = self.replies.pop(0)
        if isinstance(reply, NoAnswer):
            raise reply
        return reply(ask) if callable(reply) else reply

    def close(self) -> None:
        """Nothing is open."""

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.sleeps.append(seconds)
        self.now += seconds

    def session(self, urls: tuple[str, ...] = ("http://server",), retry: Retry | None = None, **more: Any) -> Session:
        """A session of a client of it; its pauses are as long as they can be."""
        credentials = more.pop("credentials", Credentials(KEY, None))
        return Session(
            urls,
            "shop",
            credentials=credentials,
            retry=Retry() if retry is None else retry,
            timeout=10.0,
            user_agent="test",
            clock=lambda: self.now,
            random=lambda: 1.0,
            **more,
        )

    def queue(self, name: str = "orders", **more: Any) -> Queue:
        """A queue of it."""
        return Queue(Driver(self, self.sleep), QueueCalls(self.session(**more), name))

    @property
    def keys(self) -> list[str | None]:
        """The Idempotency-Keys that it was sent."""
        return [ask.headers.get("Idempotency-Key") for ask in self.asks]

    def sent(self, at: int = -1) -> Any:
        """The JSON that it was sent."""
        body = self.asks[at].body
        assert body is not None
        return json.loads(body)


def message(number: int, **more: Any) -> Mapping[str, Any]:
    """A message of a page."""
    return {
        "id": f"{number:032x}-1",
        "partition": 1,
        "timestamp": "2025-11-26T12:14:43.2112433Z",
        "expires": "2025-11-29T12:14:43Z",
        "content_type": "text/plain",
        "headers": {},
        "body": f"body {number}",
        **more,
    }


def page(*numbers: int, more: bool = False, next: str | None = None, **rest: Any) -> Answer:
    """A page of messages."""
    return answer(
        {
            "messages": [message(number) for number in numbers],
            "next": next or f"after-{numbers[-1] if numbers else 'none'}",
            "more": more,
            "stable_until": "2025-11-26T12:14:43.2112434Z",
            "resume": "exact",
            **rest,
        }
    )
