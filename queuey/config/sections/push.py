"""The section ``[push]``, and whether the pushes of applications could be sent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from queuey.config.declarations.declared import keys_of
from queuey.config.declarations.pushes import PushSettings
from queuey.config.mistakes import Report
from queuey.config.sections.reader import APPLICATION_PREFIX, Reader
from queuey.config.settings import ApplicationSettings

_LIBRARIES: Final = ("OpenSSL", "service_identity", "cryptography")


def push(reader: Reader) -> PushSettings:
    """Read the section."""
    reader.refuse_unknown(tuple(key.name for key in keys_of(PushSettings)))
    return reader.section(PushSettings)


def check_pushes(named: tuple[ApplicationSettings, ...], settings: PushSettings, report: Report) -> None:
    """Report every application whose pushes could not be sent, and warn of those that can have none."""
    for one in named:
        if not one.policy.push:
            continue
        place = f"[{APPLICATION_PREFIX}{one.name}] push"
        if not one.policy.push_hosts:
            report.warn(place, "has no effect without push_hosts, the hosts that may be called")
        if not settings.secrets:
            report.warn(place, "has no effect without secrets in [push], which seal the secrets of pushes in the store")
        if not all(map(find_spec, _LIBRARIES)):
            what = "needs libraries that are not installed; pip install 'queuey[push]' installs them"
            report.problem(place, what)
