"""The numbers that clients and operators can set: each is declared here once, with its bounds.

Settings, parameters and members of both HTTP APIs, the operators' methods and the values of the model refer to these
declarations; tests compare ``openapi.json`` and the documentation with them. Fields that take one of several words are
enumerations; their declaration is the enumeration.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import attrs

from queuey.model.text import shown


@attrs.frozen
class Whole:
    """A field that is a whole number.

    :ivar name: its name in settings, parameters and JSON.
    :ivar low: the least value.
    :ivar high: the greatest value.
    :ivar default: the value if none is given; an ``AttributeError`` if the field has no fixed default.
    :ivar unit: the unit, such as ``seconds``; empty for a plain number.
    :ivar meaning: its effect in a few words.
    """

    name: str
    low: int
    high: int
    _default: int | None = None
    unit: str = ""
    meaning: str = ""

    @property
    def default(self) -> int:
        """The value if none is given."""
        if self._default is None:
            raise AttributeError(f"{self.name} has no default")
        return self._default

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"{self.low} to {self.high} {self.unit}".rstrip()

    def refusal(self, text: str | None = None) -> str:
        """Return what to say of a value that is not allowed.

        :param text: the value, if the message should repeat it.
        """
        if self.low == self.high:
            return f"must be {self.low}" if text is None else f'must be {self.low}, not "{shown(text)}"'
        what = f"is not a whole number from {self.low} to {self.high}"
        return what if text is None else f'"{shown(text)}" {what}'

    def of_json(self, value: Any) -> int:
        """Return the number that a JSON value is. JSON has one kind of number: 5.0 is 5.

        :raise ValueError: it is not allowed; the text has the reason.
        """
        if type(value) not in (int, float):
            raise ValueError("is not a whole number")
        if not self.low <= value <= self.high:
            raise ValueError("is out of range")
        if value != int(value):
            raise ValueError("is not a whole number")
        return int(value)

    def check(self, instance: Any, attribute: attrs.Attribute[Any], value: int | None) -> None:
        """Refuse a value out of bounds where the model makes a value of its own (an attrs validator).

        :raise ValueError: it is not allowed.
        """
        if value is not None and not self.low <= value <= self.high:
            raise ValueError(f"{attribute.name}: {value} is not a whole number from {self.low} to {self.high}")


@attrs.frozen
class Real:
    """A field that is a number with a fraction; the attributes are those of ``Whole``."""

    name: str
    low: float
    high: float
    _default: float | None = None
    unit: str = ""
    meaning: str = ""

    @property
    def default(self) -> float:
        """The value if none is given."""
        if self._default is None:
            raise AttributeError(f"{self.name} has no default")
        return self._default

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"{decimal(self.low)} to {decimal(self.high)} {self.unit}".rstrip()

    def refusal(self, text: str | None = None) -> str:
        """Return what to say of a value that is not allowed; see :meth:`Whole.refusal`."""
        what = "is not a number of seconds" if self.unit == "seconds" else "is not a number"
        what = f"{what} from {decimal(self.low)} to {decimal(self.high)}"
        return what if text is None else f'"{shown(text)}" {what}'

    def of_json(self, value: Any) -> float:
        """Return the number that a JSON value is.

        :raise ValueError: it is not allowed; the text has the reason.
        """
        if type(value) not in (int, float):
            raise ValueError("is not a number")
        if not self.low <= value <= self.high:
            raise ValueError("is out of range")
        return float(value)

    def check(self, instance: Any, attribute: attrs.Attribute[Any], value: float | None) -> None:
        """Refuse a value out of bounds; see :meth:`Whole.check`."""
        if value is not None and not self.low <= value <= self.high:
            raise ValueError(f"{attribute.name}: {value} {self.refusal()}")


Number = Whole | Real


def decimal(number: float) -> str:
    """Return a number in decimal notation with at most six digits after the point, without trailing zeros."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


# Messages.

TTL: Final = Whole("ttl", 1, 1 << 25, 259_200, "seconds", "how long messages live")
DELAY: Final = Real("delay", 0, 2_592_000, 0, "seconds", "how long after it is stored a message becomes visible")
REMAINING_TTL: Final = Whole(
    "ttl", 1, TTL.high + int(DELAY.high), None, "seconds", "how long a message that is put back still lives"
)
IDEMPOTENCY_TTL: Final = Whole(
    "idempotency_ttl", 60, 2_592_000, 86_400, "seconds", "how long an Idempotency-Key is remembered"
)

# Queues.

PARTITIONS: Final = Whole("partitions", 1, 200, 1, "", "how many partitions a queue has")


@lru_cache(maxsize=256)
def partition(count: int) -> Whole:
    """Return the field that is the number of a partition of a queue which has so many."""
    return Whole("partition", 1, count, None, "", "the number of a partition")


# Reading.

LIMIT: Final = Whole("limit", 1, 1000, 100, "", "maximum number of messages, or of queues, in an answer")
MAX_BYTES: Final = Whole("max_bytes", 1, 16 << 20, 1 << 20, "bytes", "maximum size of the bodies in an answer")
LIVE_BYTES: Final = Whole(
    "max_bytes", 1, 16 << 20, 256 << 10, "bytes", "maximum size of the bodies that a live read has ready for its client"
)
LIVE_LIMIT: Final = attrs.evolve(LIMIT, default=1000)
"""The same for live reads of many queues, which look at each queue for each page."""

WAIT: Final = Real("wait", 0, 20, 0, "seconds", "how long to wait for messages")

# Consumer groups.

CLAIM_LIMIT: Final = attrs.evolve(LIMIT, default=10)
LEASE: Final = Whole("lease", 1, 43_200, 30, "seconds", "how long a worker has for a message")
MAX_DELIVERIES: Final = Whole(
    "max_deliveries", 0, 1000, 0, "", "deliveries after which a message is given up; 0 for no limit"
)
MAX_IN_FLIGHT: Final = Whole(
    "max_in_flight", 1, 1_000_000, 120_000, "", "messages of a partition that may be examined and not settled"
)

# Pushes.

PUSH_TIMEOUT: Final = Whole("timeout", 1, 300, 15, "seconds", "how long an endpoint may take to begin its answer")
PUSH_PARALLEL: Final = Whole("parallel", 1, 64, 8, "", "requests of a push at the same time")
PUSH_RATE: Final = Real("rate", 0.01, 10_000, None, "a second", "requests of a push a second")

# Limits of an application.

MAX_QUEUES: Final = Whole("max_queues", 1, 1_000_000_000, None, "", "queues")
APPLICATION_BYTES: Final = Whole("max_bytes", 1, 1 << 50, None, "bytes", "bytes of messages")
MAX_MESSAGES: Final = Whole("max_messages", 1, 1_000_000_000_000, None, "", "messages")
MAX_QUEUE_BYTES: Final = attrs.evolve(APPLICATION_BYTES, name="max_queue_bytes", meaning="bytes of messages in a queue")
MAX_QUEUE_MESSAGES: Final = attrs.evolve(MAX_MESSAGES, name="max_queue_messages", meaning="messages in a queue")
MAX_GROUPS: Final = Whole("max_groups", 1, 1000, None, "", "consumer groups of a queue")
MAX_WAITS: Final = Whole("max_waits", 1, 1_000_000, None, "", "requests that wait for messages")
MAX_QUEUE_WAITS: Final = attrs.evolve(MAX_WAITS, name="max_queue_waits", meaning="requests that wait for one queue")
MAX_LIVE: Final = attrs.evolve(MAX_WAITS, name="max_live", meaning="live reads at once")
MAX_QUEUE_LIVE: Final = attrs.evolve(MAX_WAITS, name="max_queue_live", meaning="live reads of one queue at once")
MAX_BODY: Final = Whole("max_body", 1, 256 << 20, 1 << 20, "bytes", "size of the body of a request")

REQUEST_RATE: Final = Real("request_rate", 0.001, 1_000_000, None, "a second", "requests a second")
MESSAGE_RATE: Final = attrs.evolve(REQUEST_RATE, name="message_rate", meaning="messages a second")
QUEUE_REQUEST_RATE: Final = attrs.evolve(REQUEST_RATE, name="queue_request_rate", meaning="a second, on one queue")
QUEUE_MESSAGE_RATE: Final = attrs.evolve(REQUEST_RATE, name="queue_message_rate", meaning="a second, to one queue")
REQUEST_BURST: Final = Whole("request_burst", 1, 1_000_000, None, "", "requests at once")
MESSAGE_BURST: Final = attrs.evolve(REQUEST_BURST, name="message_burst", meaning="messages at once")
QUEUE_REQUEST_BURST: Final = attrs.evolve(REQUEST_BURST, name="queue_request_burst", meaning="at once, on one queue")
QUEUE_MESSAGE_BURST: Final = attrs.evolve(REQUEST_BURST, name="queue_message_burst", meaning="at once, to one queue")

BURSTS: Final = (
    (REQUEST_RATE, REQUEST_BURST),
    (MESSAGE_RATE, MESSAGE_BURST),
    (QUEUE_REQUEST_RATE, QUEUE_REQUEST_BURST),
    (QUEUE_MESSAGE_RATE, QUEUE_MESSAGE_BURST),
)
"""Each rate with its burst, which has no effect without the rate."""

LIMITS: Final[tuple[Number, ...]] = (
    MAX_QUEUES,
    APPLICATION_BYTES,
    MAX_MESSAGES,
    MAX_QUEUE_BYTES,
    MAX_QUEUE_MESSAGES,
    MAX_GROUPS,
    MAX_WAITS,
    MAX_QUEUE_WAITS,
    MAX_LIVE,
    MAX_QUEUE_LIVE,
    *(field for pair in BURSTS for field in pair),
)
"""The limits of an application; a policy has each of them under its name. ``None`` is no limit."""
