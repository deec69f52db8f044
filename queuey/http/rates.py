"""The fields that tell a client how far the rates of its application are used up.

They are ``RateLimit`` and ``RateLimit-Policy`` as draft-ietf-httpapi-ratelimit-headers-10 has them: a list of rates by
name, each with what may be done at once (``q``), the seconds in which all of that comes back (``w``), what is left of
it (``r``) and the seconds until that is one more (``t``). The unit of messages (``qu``) is one of our own, since
without it they would be requests.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from queuey.core.rates import MESSAGES, QUEUE_MESSAGES, Standing, named
from queuey.http.wire import Request
from queuey.model.rates import Rate, Rates

_OF_MESSAGES: Final = (MESSAGES, QUEUE_MESSAGES)


def add_headers(request: Request) -> None:
    """Add the fields to an answer that is about to be written, where the application has rates."""
    use = request.use
    standings = () if use is None else use.standings()
    if use is not None and standings:
        request.added += ((b"RateLimit-Policy", _policy(use.rates, use.queue_rates)),)
        request.add_own_field(b"RateLimit", ", ".join([_left(standing) for standing in standings]).encode("ascii"))


@lru_cache(maxsize=1024)
def _policy(rates: Rates | None, queue_rates: Rates | None) -> bytes:
    return ", ".join([_line(name, rate) for name, rate in named(rates, queue_rates)]).encode("ascii")


def _line(name: str, rate: Rate) -> str:
    unit = ';qu="messages"' if name in _OF_MESSAGES else ""
    return f'"{name}";q={rate.burst}{unit};w={max(1, ceil(rate.window))}'


def _left(standing: Standing) -> str:
    again = "" if standing.more_in is None else f";t={max(1, ceil(standing.more_in))}"
    return f'"{standing.name}";r={standing.left}{again}'
