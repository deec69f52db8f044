"""One line of the log for each change that an operator asked for, whatever the level of the log is."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs
from twisted.logger import LogLevel

from queuey.logs import ALWAYS
from queuey.logs.styles import Event
from queuey.model.messages.message import Address
from queuey.model.reading.window import Position


@attrs.frozen
class Audited:
    """One change, for the audit log.

    :ivar who: the user of this machine or the address, and the id of the request.
    :ivar method: that was called.
    :ivar about: the parameters, without secrets.
    :ivar before: what was changed, as it was; ``None`` if it did not exist or is unknown; ``after`` likewise.
    :ivar outcome: ``done``, or the code of the error and whether the change was applied.
    """

    who: str
    method: str
    about: Any
    before: Any
    after: Any
    outcome: str


Audit = Callable[[Audited], None]


def audit_logger(observer: Callable[[Event], None], clock: Callable[[], float]) -> Audit:
    """Writes each change into the log.

    :param observer: gets the events; the publisher of twisted.logger.
    :param clock: returns seconds since 1970.
    """

    def log(audited: Audited) -> None:
        observer(
            {
                "log_level": LogLevel.info,
                ALWAYS: True,
                "log_namespace": "queuey.ops",
                "log_time": clock(),
                "log_format": "{who} {method} {about}: {before} -> {after} ({outcome})",
                "event": "audit",
                "who": audited.who,
                "method": audited.method,
                "about": _shown(audited.about),
                "before": _shown(audited.before),
                "after": _shown(audited.after),
                "outcome": audited.outcome,
            }
        )

    return log


def _text(value: Any) -> str:
    """Return values that JSON does not have as text: addresses of messages, and places as they were given."""
    if isinstance(value, Address | Position):
        return f"{value.id.hex()}-{value.partition}"
    return str(value.value if isinstance(value, Enum) else value)


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_text)
