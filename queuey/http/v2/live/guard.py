"""Whether the caller of a live read may still read."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from queuey.deferreds import deferred
from queuey.http.admission.ongoing import End, Entry, Lasting
from queuey.http.inputs.header_fields import credentials
from queuey.http.wire import Request
from queuey.model.applications.access import Operation

_UNKNOWN: Final = 60.0
"""Seconds after which to ask again about a credential of which it is not known when it expires."""


class LiveGuard(Entry):
    """One live read among the requests that go on for long, which also knows when its credentials expire."""

    __slots__ = ("_now",)

    def __init__(self, request: Request, admitted: Lasting, now: Callable[[], float]) -> None:
        """:param now: the wall clock, in seconds since 1970."""
        super().__init__(admitted.gate.ongoing, request, admitted, Operation.READ_MESSAGES, None)
        self._now = now

    def watch(self, end: End) -> None:
        """Begin to watch it, until ``release``.

        :param end: ends the stream with an error for its client.
        """
        self._end = end
        self.__enter__()

    @deferred
    async def check(self) -> None:
        """See :class:`queuey.core.live.outlet.Guard`."""
        await self()

    def until(self) -> float | None:
        """See :class:`queuey.core.live.outlet.Guard`."""
        admitted, request = self._admitted, self._request
        accepted = admitted.gate.accepted(admitted.policy)
        now = self._now()
        times: list[float] = []
        if admitted.signature is not None:
            times.append(int(admitted.signature.grant.until))
        for credential in credentials(request, admitted.policy.application):
            lasting = accepted.authenticator.lasting(credential)
            times.append(now + _UNKNOWN if lasting is None else lasting.until)
        first = min(times, default=inf)
        return None if first == inf else first - now

    def release(self) -> None:
        """See :class:`queuey.core.live.outlet.Guard`."""
        self.__exit__(None, None, None)
