"""The fields that tell a client how far the rates of its application are used up.

They are ``RateLimit`` and ``RateLimit-Policy`` as draft-ietf-httpapi-ratelimit-headers-10 has them: a list of rates by
name, each with what may be done at once (``q``), the seconds in which all of that comes back (``w``), what is left of
it (``r``) and the seconds until that is one more (``t``). The unit of messages (``qu``) is one of our own, since
without it they would be requests.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from queuey.core.rates import MESSAGES, QUEUE_MESSAGES, Standing
from queuey.http.wire import Request

_OF_MESSAGES: Final = (MESSAGES, QUEUE_MESSAGES)


def add_headers(request: Request) -> None:
    """Set the fields of an answer that is about to be written, where the application has rates."""
    standings = request.use.standings() if request.use is not None else ()
    if standings:
        request.setHeader(b"RateLimit-Policy", ", ".join(map(_policy, standings)).encode("ascii"))
        request.setHeader(b"RateLimit", ", ".join(map(_left, standings)).encode("ascii"))


def _policy(standing: Standing) -> str:
    unit = ';qu="messages"' if standing.name in _OF_MESSAGES else ""
    return f'"{standing.name}";q={standing.rate.burst}{unit};w={max(1, ceil(standing.rate.window))}'


def _left(standing: Standing) -> str:
    again = "" if standing.more_in is None else f";t={max(1, ceil(standing.more_in))}"
    return f'"{standing.name}";r={standing.left}{again}'
