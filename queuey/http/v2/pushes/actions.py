"""Actions on pushes over v2: test, pause, resume, rotate secrets, and look at attempts."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.core.pushes.directory import PushDirectory
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.routes import Route
from queuey.http.v2.inputs.conditions import conditions
from queuey.http.v2.inputs.parameters import members, refuse_query
from queuey.http.v2.pushes.push_json import attempt_json
from queuey.http.v2.pushes.pushes import KIND, PUSH, answer_push, named
from queuey.http.v2.representations.fields import HEAD, etag
from queuey.http.wire import Request
from queuey.model.applications.access import Operation

TEST: Final = f"{PUSH}/test"
PAUSE: Final = f"{PUSH}/pause"
RESUME: Final = f"{PUSH}/resume"
ATTEMPTS: Final = f"{PUSH}/attempts"
SECRETS: Final = f"{PUSH}/secrets"
SECRET: Final = f"{SECRETS}/<secret>"


@attrs.frozen
class V2PushActions:
    """The handlers."""

    pushes: PushDirectory

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        change = Operation.CHANGE_PUSHES
        return (
            Route("POST", TEST, change, self.test, check=refuse_query),
            Route("POST", PAUSE, change, self.pause, check=refuse_query),
            Route("POST", RESUME, change, self.resume, check=refuse_query),
            Route("GET", ATTEMPTS, Operation.SEE_PUSHES, self.attempts, check=refuse_query),
            Route("POST", SECRETS, change, self.add_secret, check=refuse_query),
            Route("DELETE", SECRET, change, self.remove_secret, check=refuse_query),
        )

    async def test(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Send a test message, and answer with its result."""
        members(request, ())
        found = await named(self.pushes, admitted.queue, push)
        done = await self.pushes.test(admitted.queue, found)
        document = {
            "status": done.status,
            "milliseconds": done.milliseconds,
            "error": done.error,
            "reason": done.reason if done.error is not None else None,
        }
        request.answer(200, HEAD, json_line(document))

    async def pause(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Pause a push: its messages wait in the log."""
        await self._set_paused(request, admitted, push, True)

    async def resume(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Let a push go on."""
        await self._set_paused(request, admitted, push, False)

    async def _set_paused(self, request: Request, admitted: AdmittedToQueue, push: str, paused: bool) -> None:
        members(request, ())
        asked = conditions(request, KIND)
        found = await named(self.pushes, admitted.queue, push)
        changed = await self.pushes.set_paused(admitted.queue, found, paused, asked.meet)
        await answer_push(self.pushes, request, changed)

    async def attempts(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """List the last attempts of a push, the newest first."""
        found = await named(self.pushes, admitted.queue, push)
        report = await self.pushes.report(found)
        request.answer(200, HEAD, json_line({"attempts": [attempt_json(one) for one in report.attempts]}))

    async def add_secret(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Add a secret, and show it this once."""
        members(request, ())
        asked = conditions(request, KIND)
        found = await named(self.pushes, admitted.queue, push)
        changed, secret = await self.pushes.add_secret(admitted.queue, found, asked.meet)
        document = {"id": secret.id, "secret": secret.text}
        request.answer(201, (*HEAD, etag(changed.version)), json_line(document))

    async def remove_secret(self, request: Request, admitted: AdmittedToQueue, push: str, secret: str) -> None:
        """Remove a secret: it signs no more."""
        asked = conditions(request, KIND)
        found = await named(self.pushes, admitted.queue, push)
        await self.pushes.remove_secret(admitted.queue, found, secret, asked.meet)
        request.answer(204, (), b"")
