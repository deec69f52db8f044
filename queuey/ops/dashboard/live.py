"""Live numbers for the page: an event stream that repeats some calls, and sends those answers that have changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from queuey.deferreds import shield
from queuey.http.bodies.pieces import ClientGone
from queuey.http.wire import Request
from queuey.model.applications.rights import DashboardToken, Right
from queuey.ops import faults
from queuey.ops.access import refuse
from queuey.ops.answers import encoded
from queuey.ops.callers import MethodCaller
from queuey.ops.dashboard.rights import NEEDED
from queuey.ops.dashboard.tokens import Tokens
from queuey.ops.faults import Failed
from queuey.ops.rpc import RPC, parse

EVERY: Final = 2.0
"""Seconds between the answers of a stream and its next ones."""

MAX_CALLS: Final = 6
"""Calls that a stream repeats."""

MAX_STREAMS: Final = 32
MAX_OF_TOKEN: Final = 8
"""Streams at a time, of all tokens and of one."""

MAX_BUSY: Final = 0.25
"""The part of the time for which a stream may keep its calls at work: if they take long, it repeats them less often."""

_HEADERS: Final = (
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),
)


@attrs.frozen
class RepeatedCall:
    """One call that a stream repeats."""

    method: str
    params: Any


class LiveNumbers:
    """All streams.

    :param rpc: runs the calls.
    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self, rpc: RPC, tokens: Tokens, clock: IReactorTime, now: Callable[[], float], every: float = EVERY
    ) -> None:
        self._rpc = rpc
        self._tokens = tokens
        self._clock = clock
        self._now = now
        self._every = every
        self._streams: Counter[bytes] = Counter()

    @property
    def streams(self) -> int:
        """Number of streams."""
        return self._streams.total()

    def begin(self, request: Request, token: DashboardToken, caller: MethodCaller) -> Any:
        """Answer a request by a stream, which ends when the client hangs up or the token is not valid any more."""
        try:
            calls = _calls(request, caller)
        except Failed as failed:
            status = 403 if failed.word == "forbidden" else 400
            return refuse(request, status, failed.word, failed.text)
        if self.streams >= MAX_STREAMS or self._streams[token.digest] >= MAX_OF_TOKEN:
            text = "There are too many live pages; close another one."
            return refuse(request, 503, "unavailable", text, ((b"Retry-After", b"5"),))
        self._streams[token.digest] += 1
        request.closing = True
        request.begin(200, _HEADERS)
        serving = Deferred.fromCoroutine(self._run(request, token, caller, calls))
        request.serving = serving

        def over(result: object) -> None:
            self._streams[token.digest] -= 1
            self._streams += Counter()  # forgets those that have none
            if isinstance(result, Failure) and not result.check(CancelledError, ClientGone):
                request.processingFailed(result)
            elif not request.gone:
                request.finish()

        serving.addBoth(over)
        return NOT_DONE_YET

    async def _run(
        self, request: Request, token: DashboardToken, caller: MethodCaller, calls: Sequence[RepeatedCall]
    ) -> None:
        last: list[bytes] = [b""] * len(calls)
        while self._tokens.is_valid(token):
            began = self._clock.seconds()
            answers = []
            for number, call in enumerate(calls):
                # A call that has begun is finished, also if the client hangs up.
                answer = await shield(Deferred.fromCoroutine(self._answer(call, caller)))
                answers.append(b"null" if answer == last[number] else answer)
                last[number] = answer
            took = self._clock.seconds() - began
            await request.send(
                b'event: numbers\ndata: {"at":%.3f,"answers":[%b]}\n\n' % (self._now(), b",".join(answers))
            )
            await deferLater(self._clock, max(self._every, took / MAX_BUSY))
        await request.send(b"event: over\ndata: {}\n\n")

    async def _answer(self, call: RepeatedCall, caller: MethodCaller) -> bytes:
        try:
            return encoded({"result": await self._rpc.run(call.method, call.params, caller)})
        except Failed as failed:
            return encoded({"error": failed.document})


def _calls(request: Request, caller: MethodCaller) -> tuple[RepeatedCall, ...]:
    """Read the calls of a stream: ``calls`` in the query, an array of objects with ``method`` and ``params``.

    :raise Failed: they are wrong, or the caller may not make them.
    """
    given = request.args.get(b"calls", [])
    if len(given) != 1:
        raise faults.invalid_request("The query has calls once.")
    document = parse(given[0])
    if not isinstance(document, list) or not 1 <= len(document) <= MAX_CALLS:
        raise faults.invalid_request(f"calls is an array of 1 to {MAX_CALLS} calls.")
    return tuple([_call(one, caller) for one in document])


def _call(document: Any, caller: MethodCaller) -> RepeatedCall:
    if not isinstance(document, dict) or set(document) - {"method", "params"}:
        raise faults.invalid_request("A call of a stream is an object with method and params.")
    name, params = document.get("method"), document.get("params", {})
    if not isinstance(name, str) or not isinstance(params, dict):
        raise faults.invalid_request("A call of a stream has a method, which is a string, and params, an object.")
    caller.check(name)
    if NEEDED.get(name) is not Right.WATCH:
        text = f"{json.dumps(name)} cannot be repeated: a stream shows numbers."
        raise Failed(faults.REFUSED, "forbidden", text)
    return RepeatedCall(name, params)
