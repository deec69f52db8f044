"""Reads of many queues over v2: one page of all of them, and a wait for what comes."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.core.many.chosen import View
from queuey.core.many.reading import ManyPage, ManyReader
from queuey.http.admission.gate import AdmittedToChoice
from queuey.http.answers.problems import Problem
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.answers import NO_STORE, answer_in_pieces, fits_at_once
from queuey.http.v2.application import APPLICATION
from queuey.http.v2.many_pages import ManyWanted, choice, pieces, wanted
from queuey.http.v2.pages import JSON, NDJSON, prefers_lines
from queuey.http.v2.parameters import refuse_query
from queuey.http.wire import Request
from queuey.model.access import Operation, is_application
from queuey.model.columns import body_bytes
from queuey.model.served import RECEIVE

READS: Final = f"{APPLICATION}/reads"

MAX_NAMED: Final = 100
"""Queues that a refusal names."""


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
            check(asked, admitted, view)
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


def check(asked: ManyWanted, admitted: AdmittedToChoice, view: View) -> None:
    """Refuse a read that names queues which its caller may not read, or which do not exist.

    :raise Problem: naming them.
    """
    if view.forbidden:
        code = "forbidden" if admitted.caller else "unauthorized"
        raise _refusal(asked, code, "Access was denied: this caller may not read messages of", view.forbidden)
    may_come = admitted.policy.create_on_write and is_application(admitted.caller, admitted.policy.application)
    if view.missing and not may_come:
        raise _refusal(asked, "no-such-queue", "The application has no queue of the name of", view.missing)


def _refusal(asked: ManyWanted, code: str, text: str, names: tuple[str, ...]) -> Problem:
    some = sorted(names, key=lambda name: asked.given[name])[:MAX_NAMED]
    found = tuple([{"pointer": f"/queues/{asked.given[name]}", "detail": f"{text} {name}."} for name in some])
    return Problem(code, f"{text} {len(names)} of the queues that were named.", errors=found)
