"""What to do about a start that was refused."""

from __future__ import annotations

from typing import Final

from queuey.config import Settings
from queuey.errors import DataInUse, QueueyError
from queuey.service.process.listening import AddressTaken

_PORTS: Final = (5100, 5200)
_FOLDER: Final = "other-data"


def with_advice(error: QueueyError, settings: Settings) -> str:
    """Return why the start was refused and, if another process has the address or the data, how to start beside it."""
    advice = ""
    if isinstance(error, AddressTaken):
        advice = _another_address(settings)
    elif isinstance(error, DataInUse) and settings.source is None:
        make = f"make run PORT={_port(settings)} DATA={_FOLDER}"
        advice = f"stop that one, or choose another folder: {make}, or twistd queuey --data {_FOLDER}"
    return f"{error.text.removesuffix('.')}; {advice}" if advice else error.text


def _another_address(settings: Settings) -> str:
    if settings.source is not None:
        return "choose another address in [server], or with --http or --ops"
    port = _port(settings)
    return f"choose another port: make run PORT={port}, or twistd queuey --http tcp:{port}:interface=127.0.0.1"


def _port(settings: Settings) -> int:
    """Return a port that the settings do not name."""
    first, second = _PORTS
    return second if any(f":{first}" in one for one in settings.server.http) else first
