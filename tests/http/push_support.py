"""Pushes of v2 in memory, to endpoints that tests script."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey import config
from queuey.core.contention import Retries
from queuey.core.pushes.engine import PushEngine
from queuey.core.pushes.registry import PushRegistry
from queuey.core.pushes.senders import Senders
from queuey.interfaces import BodyEnd, IPushSender, NotSent, PushAnswer, PushRequest, Unsent
from tests.http.api_support import KEY, OTHER_KEY, SPARE_KEY, fields_of
from tests.http.group_support import GroupTestCase
from tests.http.responses import Response

URL = "https://hook.example.com/in?a=1"
PATCH = "application/merge-patch+json"
SEALING = "0123456789abcdef" * 4

SETTINGS = f"""
[storage]
backend = memory
[application_keys]
app = {KEY}
    {SPARE_KEY}
other = {OTHER_KEY}
[application:app]
push = true
push_hosts = hook.example.com 10.0.0.7
[push]
secrets = {SEALING}
networks = 10.0.0.0/8
"""


@implementer(IPushSender)
class FakeSender:
    """Answers requests as tests say.

    :ivar sent: what was sent, in order.
    :ivar answer: a status, a whole answer, the reason why there is none, or ``None``: tests answer later.
    :ivar open: the requests that wait for their answers.
    :ivar times: when each was sent.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.times: list[float] = []
        self.sent: list[PushRequest] = []
        self.answer: int | PushAnswer | Unsent | None = 204
        self.open: list[Deferred[PushAnswer]] = []

    def send(self, request: PushRequest) -> Deferred[PushAnswer]:
        self.sent.append(request)
        self.times.append(self._seconds())
        if self.answer is None:
            waiting: Deferred[PushAnswer] = Deferred()
            self.open.append(waiting)
            return waiting
        return self.made(self.answer)

    def made(self, answer: int | PushAnswer | Unsent) -> Deferred[PushAnswer]:
        if isinstance(answer, Unsent):
            return fail(NotSent(answer))
        return succeed(said(answer) if isinstance(answer, int) else answer)

    def say(self, answer: int | PushAnswer | Unsent, which: int = 0) -> None:
        """Answer one of the requests that wait."""
        self.made(answer).chainDeferred(self.open.pop(which))

    @property
    def bodies(self) -> list[str]:
        return [request.body.decode() for request in self.sent]

    @property
    def ids(self) -> list[str]:
        return [dict(request.headers)["webhook-id"] for request in self.sent]


def said(status: int, body: bytes = b"", retry_after: str | None = None, *, end: BodyEnd = BodyEnd.WHOLE) -> PushAnswer:
    """An answer."""
    return PushAnswer(status, retry_after, "text/plain", body, end)


class PushTestCase(GroupTestCase):
    """Pushes of the queue ``q``."""

    settings = SETTINGS

    def setUp(self) -> None:
        self.sender = FakeSender(lambda: self.clock.seconds())
        super().setUp()
        self.assembly.pushes.start()
        self.addCleanup(self.end)

    def end(self) -> None:
        """Stop, and leave nothing behind."""
        stopping = self.assembly.pushes.stop()
        for one in self.sender.open:
            self.sender.made(204).chainDeferred(one)
        self.clock.pump([0.5] * 10)
        self.successResultOf(stopping)

    def make_sender(self, reactor: Any, networks: Any) -> IPushSender | None:
        return self.sender

    def appended(self, body: bytes | str = b"x", query: str = "", queue: str = "q", **fields: str) -> str:
        """Post a message, and let the push take it."""
        id = super().appended(body, query, queue, **fields)
        self.clock.pump([0] * 4)
        return id

    def other_engine(self) -> PushEngine:
        """Start an engine as another process has it."""
        pushes, means = self.assembly.pushes, self.assembly.pushes._means
        registry = PushRegistry(means.states, Retries(self.clock, means.new_bytes), means.new_bytes)
        senders = Senders(means.states, self.clock, means.new_bytes, True)
        engine = PushEngine(means, registry, senders, pushes._wanted)
        engine.start()
        return engine

    def use(self, settings: str) -> None:
        """Put other settings in force."""
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
        self.assembly.use(config.load(file))

    def push(self, rest: str = "", push: str = "p", queue: str = "q") -> str:
        """The path of a push, as ``send`` takes it."""
        return f"/queues/{queue}/pushes/{push}{rest}"

    def put_push(self, push: str = "p", body: Any = None, **fields: str) -> Response:
        return self.send("PUT", self.push("", push), {"url": URL} if body is None else body, fields_of(fields))

    def pushed(self, push: str = "p", queue: str = "q", **settings: Any) -> dict[str, Any]:
        """Make a push, and give what is said of it."""
        response = self.send("PUT", self.push("", push, queue), {"url": URL, **settings})
        found: dict[str, Any] = self.expect(201, response)
        self.pass_time(1.1)
        return found

    def shown(self, push: str = "p") -> dict[str, Any]:
        found: dict[str, Any] = self.expect(200, self.send("GET", self.push("", push)))
        return found

    def change_push(self, body: Any, push: str = "p", **fields: str) -> Response:
        return self.send("PATCH", self.push("", push), body, fields_of(fields), PATCH)

    def act(self, what: str, push: str = "p") -> Any:
        """Do something with a push."""
        return self.expect(200, self.send("POST", self.push(f"/{what}", push)))

    def attempts(self, push: str = "p") -> list[dict[str, Any]]:
        self.pass_time(1.2)
        found: list[dict[str, Any]] = self.expect(200, self.send("GET", self.push("/attempts", push)))["attempts"]
        return found

    def verify(self, request: PushRequest, secret: str) -> bool:
        """Whether the library of receivers takes a request; its time is not looked at."""
        headers = dict(request.headers)
        id, time = headers["webhook-id"], int(headers["webhook-timestamp"])
        assert b64decode(secret.removeprefix("whsec_"))
        signed = Webhook(secret).sign(id, datetime.fromtimestamp(time, UTC), request.body.decode())
        return signed in headers["webhook-signature"].split(" ")
