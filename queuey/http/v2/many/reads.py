"""Reads of many queues over v2: one page of all of them, and waits for new messages."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.core.many.chosen import View
from queuey.core.many.reading import ManyPage, ManyReader
from queuey.http.admission.gate import AdmittedToChoice
from queuey.http.answers.pieces import answer_in_pieces, fits_at_once
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.application import APPLICATION
from queuey.http.v2.inputs.parameters import refuse_query
from queuey.http.v2.many.choices import permit_choice
from queuey.http.v2.many.pages import choice, pieces, wanted
from queuey.http.v2.messages.pages import JSON, NDJSON, prefers_lines
from queuey.http.v2.representations.fields import NO_STORE
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.messages.columns import body_bytes
from queuey.model.telemetry.served import RECEIVE

READS: Final = f"{APPLICATION}/reads"


@attrs.frozen
class V2Reads:
    """The handler of reads of many queues."""

    reader: ManyReader

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("POST", READS, Operation.READ_MESSAGES, self.read, refuse_query, choice),)

    async def read(self, request: Request, admitted: AdmittedToChoice) -> None:
        """Read a page of the chosen queues, or wait for one."""
        asked = wanted(request, admitted.policy.application)
        counted = admitted.own

        def permit(view: View) -> None:
            nonlocal counted
            permit_choice(asked.chosen, admitted, view)
            if not counted:
                counted = True
                admitted.gate.count(request, admitted.policy)

        if request.traced is not UNTRACED:
            request.traced.begin(RECEIVE)
        if asked.asked.wait:
            with admitted.gate.ongoing.during(request, admitted, Operation.READ_MESSAGES):
                again = admitted.prove_again
                page = await self.reader.page(asked.asked, admitted.caller, permit, lambda: again(request))
        else:
            page = await self.reader.page(asked.asked, admitted.caller, permit)
        if request.traced is not UNTRACED:
            request.traced.received(page.messages)
        await _answer(request, page, parsed=asked.json)


async def _answer(request: Request, page: ManyPage, *, parsed: bool) -> None:
    """Write a page: at once if it is small, and else in pieces, as fast as the client takes them."""
    lines = prefers_lines(request)
    fields = ((b"Content-Type", (NDJSON if lines else JSON).encode("ascii")), NO_STORE)
    parts = pieces(page, lines=lines, parsed=parsed)
    if fits_at_once(page.messages):
        request.answer(200, fields, b"".join([text for text, _ in parts]))
        request.count_messages(len(page.messages), body_bytes(page.messages), page.queues)
    else:
        await answer_in_pieces(request, fields, parts, page.queues)
