"""What the dashboard needs besides the other methods: ``dashboard.*`` and ``health.*``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from queuey.errors import NotPromised
from queuey.model.applications.rights import ALL_RIGHTS, Right
from queuey.model.telemetry.counts import Metric
from queuey.ops.alerts import holding
from queuey.ops.dashboard.tokens import HOUR, Tokens
from queuey.ops.faults import invalid_params
from queuey.ops.health import Health
from queuey.ops.methods.shown import moment
from queuey.ops.parameters import ARRAY, TEXT, Kind, Parameter
from queuey.ops.rpc import CallContext, Methods, method

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_ALLOWED: Final = "1 to 40 letters, digits, dots, underscores and hyphens"


def _name(value: Any) -> str:
    text: str = TEXT.read(value)
    if _NAME.fullmatch(text) is None:
        raise ValueError("is not a name of a token")
    return text


class Dashboard(Methods):
    """``dashboard.*``.

    :param urls: the addresses of the page, as they are now; none if there is no dashboard.
    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(self, tokens: Tokens, urls: Callable[[], Sequence[str]], now: Callable[[], float]) -> None:
        super().__init__()
        self._tokens = tokens
        self._urls = urls
        self._now = now

    @method(
        "object",
        Parameter("name", Kind("string", _ALLOWED, _name)),
        Parameter("rights", Kind("array", "some of watch, peek and operate", ARRAY.read)),
        changes=True,
    )
    async def jsonrpc_token(
        self, call: CallContext, name: str = "operator", rights: list[Any] | None = None
    ) -> dict[str, Any]:
        """Make a token of the dashboard that is valid for an hour, and return the URL that signs in with it. Without
        `rights` it has all of them; the audit log shows `name`."""
        chosen = ALL_RIGHTS if rights is None else _rights(rights)
        urls = self._urls()
        if not urls:
            raise NotPromised("There is no dashboard: [server] dashboard names no endpoint.")
        text = self._tokens.make(name, chosen)
        found = {
            "name": name,
            "rights": _shown(chosen),
            "ends": moment(self._now() + HOUR),
        }
        call.note(None, found)
        return {"url": f"{urls[0]}#token={text}", **found}

    @method("object")
    async def jsonrpc_whoami(self, call: CallContext) -> dict[str, Any]:
        """Return the name and the rights of the caller, and when its token of the dashboard ends."""
        token = call.token
        if token is None:
            return {"name": call.who, "rights": _shown(ALL_RIGHTS), "ends": None}
        left = self._tokens.ends(token)
        ends = None if left is None else moment(self._now() + left)
        return {"name": token.name, "rights": _shown(token.rights), "ends": ends}


def _rights(words: list[Any]) -> frozenset[Right]:
    known = {right.value for right in Right}
    if not words or not all(isinstance(word, str) and word in known for word in words):
        raise invalid_params({"rights": "has a right that is not known; allowed: watch, peek, operate"})
    return frozenset(map(Right, words)) | {Right.WATCH}


def _shown(rights: frozenset[Right]) -> list[str]:
    return [right.value for right in Right if right in rights]


class HealthMethods(Methods):
    """``health.*``.

    :param live: the checks of being alive; ``ready``: those of being ready.
    :param metrics: all metrics; empty if they are off.
    :param look: refreshes the metrics.
    :param facts: further facts: processes and the disk, as they are now.
    """

    def __init__(
        self,
        live: Health,
        ready: Health,
        metrics: Sequence[Metric],
        look: Callable[[], Deferred[None]],
        facts: Callable[[], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._healths = (live, ready)
        self._metrics = metrics
        self._look = look
        self._facts = facts

    @method("object")
    async def jsonrpc_report(self, call: CallContext) -> dict[str, Any]:
        """Return the checks of /live and /ready with their reasons, the workers, and the alerts whose conditions hold
        now, of those that can be seen without Prometheus; `alerts` is null if nothing is counted."""
        checks, states = [], {}
        for health in self._healths:
            found = await health.look()
            states[health.word] = all(finding.ok for finding in found)
            checks += [
                {"of": health.word, "name": finding.name, "ok": finding.ok, "reason": finding.reason}
                for finding in found
            ]
        if self._metrics:
            await self._look()
        return {
            **states,
            "checks": checks,
            **self._facts(),
            "alerts": holding(self._metrics) if self._metrics else None,
        }
