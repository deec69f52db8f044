"""The page of the operators' port that has the metrics: ``GET /metrics``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from queuey.deferreds import TurnQueue
from queuey.http.wire import Request
from queuey.model.telemetry.counts import Metric
from queuey.ops.metrics.text import OPENMETRICS, PLAIN, Format, pieces, registry

PATH: Final = b"/metrics"


class MetricsPage(Resource):
    """Answers with the metrics as they are now.

    :param metrics: what was counted; no two have the same name.
    :param clock: whose turns the text is made in, a piece in each, so that others are served between them.
    :param before: is called before each answer is made, and waited for.
    """

    isLeaf = True

    def __init__(self, metrics: Sequence[Metric], clock: IReactorTime, before: Callable[[], Deferred[None]]) -> None:
        super().__init__()
        self._registry = registry(metrics)
        self._turns = TurnQueue(clock)
        self._before = before

    def render(self, request: Request) -> int:
        """Answer a request."""
        answering = Deferred.fromCoroutine(self._answer(request))
        answering.addErrback(request.processingFailed).addErrback(_said)
        if not answering.called:
            request.serving = answering
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> None:
        await self._before()
        format = wanted(request)
        text = []
        for piece in pieces(self._registry, format):
            text.append(piece)
            await self._turns.next()
        headers = ((b"Content-Type", format.content_type.encode("ascii")), (b"Vary", b"Accept"))
        request.answer(200, headers, b"".join(text))


def wanted(request: Request) -> Format:
    """Return the format that a client asks for: OpenMetrics only if it is named and not refused."""
    for accepted in b",".join(request.fields.get(b"accept", [])).lower().split(b","):
        kind, *parameters = (part.strip() for part in accepted.split(b";"))
        if kind == b"application/openmetrics-text" and not any(_is_no(one) for one in parameters):
            return OPENMETRICS
    return PLAIN


def _is_no(parameter: bytes) -> bool:
    """Return whether a parameter excludes a type: a weight of 0 (RFC 9110, section 12.4.2)."""
    name, _, weight = parameter.partition(b"=")
    return name == b"q" and weight.rstrip(b"0") in (b"", b"0.", b".")


def _said(failure: Failure) -> None:
    """The log has it."""
