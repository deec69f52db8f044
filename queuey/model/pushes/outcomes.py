"""What an answer, or its absence, means for a message and its push."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

import attrs

from queuey.model.pushes.settings import REJECTABLE, Push

FIRST_PAUSE: Final = 5.0
"""Seconds until the second attempt, about."""

SHORTEST_PAUSE: Final = 1.0
"""Minimum number of seconds between two attempts if the endpoint asks for less."""

LONGEST_PAUSE: Final = 3600.0
"""Maximum number of seconds between two attempts, also if the endpoint asks for more."""

_DATE: Final = re.compile(r"[A-Za-z]{3}, [0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_JITTER: Final = 0.2
_GONE: Final = 410
_BUSY: Final = (429, 503)


class Verdict(Enum):
    """What becomes of a message after an attempt."""

    ACK = "ack"
    RETRY = "retry"
    REJECT = "reject"
    PAUSE = "pause"


@attrs.frozen
class Judgement:
    """The verdict, and for a retry the delay in seconds.

    :ivar given_up: whether a message is rejected because its last delivery failed.
    """

    verdict: Verdict
    delay: float = 0.0
    given_up: bool = False

    @property
    def failed(self) -> bool:
        """Whether the attempt counts as a failure of the endpoint. Other rejections are answers about the message."""
        return self.given_up or self.verdict in (Verdict.RETRY, Verdict.PAUSE)


def judge(
    push: Push, status: int | None, retry_after: float | None, deliveries: int, max_deliveries: int, random: float
) -> Judgement:
    """Return what an attempt means.

    :param status: of the answer; ``None`` if there was none.
    :param retry_after: seconds that the endpoint asks for.
    :param deliveries: of the message, including this one.
    :param max_deliveries: of the group; 0 is no limit.
    :param random: from 0 to 1, spreads retries.
    """
    if status is not None and 200 <= status < 300:
        return Judgement(Verdict.ACK)
    if status == _GONE:
        return Judgement(Verdict.PAUSE, FIRST_PAUSE)
    if status in REJECTABLE and status in push.reject_on:
        return Judgement(Verdict.REJECT)
    delay = pause(deliveries, random)
    if status in _BUSY and retry_after is not None:
        delay = max(SHORTEST_PAUSE, min(retry_after, LONGEST_PAUSE))
    if max_deliveries and deliveries >= max_deliveries:
        return Judgement(Verdict.REJECT, delay, given_up=True)
    return Judgement(Verdict.RETRY, delay)


def pause(attempts: int, random: float, longest: float = LONGEST_PAUSE) -> float:
    """Return the pause in seconds after this number of failed attempts: it doubles each time, with jitter."""
    found = FIRST_PAUSE * 2.0 ** min(max(attempts, 1) - 1, 32)
    return max(FIRST_PAUSE, min(found, longest) * (1 - _JITTER * random))


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds that a field Retry-After asks for, or ``None`` if it does not say.

    :param now: in seconds since 1970, for a field with a date.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
