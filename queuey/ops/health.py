"""Whether a front end is alive, and whether it is ready: for orchestrators and load balancers, which ask often.

An answer does not wait for a check that hangs, and a check is not started again before it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from queuey.deferreds import SingleFlight, bounded, deferred
from queuey.errors import QueueyError, Unavailable
from queuey.http.wire import Request
from queuey.logs import EventLog

LIMIT: Final = 2.0
"""Seconds for which a check is waited for. Those who ask mostly give up after a few."""

_HEADERS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))

_log = EventLog(Logger(namespace="queuey.ops"))


@attrs.frozen
class Finding:
    """The result of a check.

    :ivar reason: one sentence, be it well or not.
    """

    name: str
    ok: bool
    reason: str


class Check:
    """One check.

    :param name: one word.
    :param ask: returns a Deferred that fires with a sentence if all is well, and fails with a ``QueueyError`` whose
        text says why not.
    """

    def __init__(self, name: str, ask: Callable[[], Deferred[str]], clock: IReactorTime) -> None:
        self.name = name
        self._ask = ask
        self._clock = clock
        self._question: SingleFlight[str] = SingleFlight()
        self._asking = False

    @deferred
    async def look(self) -> Finding:
        """Look at it.

        :return: fires with what was found, after :data:`LIMIT` seconds at the latest, and never fails.
        """
        try:
            reason = await bounded(self._answer(), LIMIT, self._clock, self._late)
        except QueueyError as error:
            return Finding(self.name, False, error.text)
        except Exception:
            _log.failure("check-defect", "the check {check} cannot be made", Failure(), check=self.name)
            return Finding(self.name, False, "This check cannot be made; the log says why.")
        return Finding(self.name, True, reason)

    def _answer(self) -> Deferred[str]:
        answer = self._question.join()
        if not self._asking:
            self._asking = True
            maybeDeferred(self._ask).addBoth(self._answered)
        return answer

    def _answered(self, result: str | Failure) -> None:
        self._asking = False
        self._question.answered(result)

    @staticmethod
    def _late() -> Exception:
        return Unavailable(f"There was no answer within {LIMIT:g} s.")


class Health:
    """Some checks that all have to succeed.

    :ivar word: the state of a front end if they do.
    """

    def __init__(self, word: str, checks: Sequence[Check]) -> None:
        self.word = word
        self._checks = checks

    def look(self) -> Deferred[list[Finding]]:
        """Make all checks at once.

        :return: fires with what was found, in their order, after :data:`LIMIT` seconds at the latest; never fails.
        """
        return gatherResults([check.look() for check in self._checks])


class HealthPage(Resource):
    """Answers 200 if all is well, and 503 otherwise."""

    isLeaf = True

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def tell(self, request: Request, reasons: bool) -> int:
        """Answer a request.

        :param reasons: whether to say more than which checks are well: reasons name machines and folders.
        """
        telling = Deferred.fromCoroutine(self._tell(request, reasons))
        telling.addErrback(request.processingFailed)
        return NOT_DONE_YET

    async def _tell(self, request: Request, reasons: bool) -> None:
        found = await self._health.look()
        well = all(finding.ok for finding in found)
        document: dict[str, Any] = {
            self._health.word: well,
            "checks": {each.name: {"ok": each.ok, **({"reason": each.reason} if reasons else {})} for each in found},
        }
        request.answer(200 if well else 503, _HEADERS, json.dumps(document, separators=(",", ":")).encode("ascii"))
