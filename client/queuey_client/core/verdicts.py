"""What becomes of a message that a handler was given."""

from __future__ import annotations

from dataclasses import dataclass

from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Delivery

LONGEST_DELAY = 300.0
"""Seconds after which a message that fails again and again is given again at the latest."""

MAX_DELAY = 2_592_000
"""Seconds of the longest delay that the server takes."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a message whose handler failed; ``Verdict.again()`` and ``Verdict.give_up()`` make one.

    .. code-block:: python

       def decide(delivery, error):
           return Verdict.give_up(str(error)) if isinstance(error, ValueError) else Verdict.again(60)
    """

    action: str
    delay: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        _check(self.delay)

    @staticmethod
    def again(delay: Seconds = 0) -> Verdict:
        """It is given again after ``delay`` seconds, up to 30 days. :raise ValueError: it is longer, or negative."""
        return Verdict("retry", delay=in_seconds(delay))

    @staticmethod
    def give_up(reason: str = "") -> Verdict:
        """It goes to the dead-letter queue, or is set aside."""
        return Verdict("reject", reason=reason)


def _check(delay: float) -> None:
    """Refuse a delay that the server refuses; with it, the server refuses all that is settled in the same request."""
    if not 0 <= delay <= MAX_DELAY:
        raise ValueError(f"a delay is 0 to {MAX_DELAY} seconds, not {delay:g}")


ACK = Verdict("ack")


class Reject(Exception):
    """Raised by a handler: give the message up, to the dead-letter queue if there is one.

    .. code-block:: python

       def bill(delivery):
           if "customer" not in delivery.json():
               raise Reject("no customer")
    """


class RetryLater(Exception):
    """Raised by a handler: give the message again after ``delay`` seconds, up to 30 days.

    :raise ValueError: the delay is longer, or negative.
    """

    def __init__(self, delay: Seconds, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = in_seconds(delay)
        _check(self.delay)


def default_verdict(delivery: Delivery, error: BaseException) -> Verdict:
    """Decide by the exception, else: again after 1, 2, 4 ... 300 seconds, by how often the message was given."""
    if isinstance(error, Reject):
        return Verdict.give_up(str(error))
    if isinstance(error, RetryLater):
        return Verdict.again(error.delay)
    return Verdict.again(longer_pause(delivery))


def longer_pause(delivery: Delivery) -> float:
    """Return 1, 2, 4 ... 300 seconds, by how often the message was given."""
    return float(min(2.0 ** min(delivery.deliveries - 1, 20), LONGEST_DELAY))
