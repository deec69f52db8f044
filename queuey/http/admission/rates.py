"""The header fields with the rest of the application's rates.

They are ``RateLimit`` and ``RateLimit-Policy`` as draft-ietf-httpapi-ratelimit-headers-10 has them: a list of rates by
name, each with what may be done at once (``q``), the seconds in which all of that comes back (``w``), what is left of
it (``r``) and the seconds until that is one more (``t``). The unit of messages (``qu``) is one of our own, since
without it they would be requests.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from queuey.core.rates import MESSAGES, QUEUE_MESSAGES, named
from queuey.http.wire import Request
from queuey.model.applications.rates import Rate, Rates

_OF_MESSAGES: Final = (MESSAGES, QUEUE_MESSAGES)


def add_headers(request: Request) -> None:
    """Add the fields to an answer that is about to be written, if the application has rates."""
    use = request.use
    standings = () if use is None else use.standings()
    if use is not None and standings:
        request.added += ((b"RateLimit-Policy", _policy(use.rates, use.queue_rates)),)
        left = [
            f'"{each.name}";r={each.left}'
            if each.more_in is None
            else f'"{each.name}";r={each.left};t={max(1, ceil(each.more_in))}'
            for each in standings
        ]
        request.add_own_field(b"RateLimit", ", ".join(left).encode("ascii"))


@lru_cache(maxsize=1024)
def _policy(rates: Rates | None, queue_rates: Rates | None) -> bytes:
    return ", ".join([_line(name, rate) for name, rate in named(rates, queue_rates)]).encode("ascii")


def _line(name: str, rate: Rate) -> str:
    unit = ';qu="messages"' if name in _OF_MESSAGES else ""
    return f'"{name}";q={rate.burst}{unit};w={max(1, ceil(rate.window))}'
