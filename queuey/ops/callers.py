"""Who calls a method, and which methods this caller may call."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from queuey.model.applications.rights import DashboardToken


def _everything(method: str) -> None:
    """Allow every method."""


@attrs.frozen
class MethodCaller:
    """A caller of methods.

    :ivar who: for the audit log.
    :ivar check: raises ``Failed`` with the name of a method that this caller may not call.
    :ivar token: its token of the dashboard; ``None`` at the operators' port.
    """

    who: str
    check: Callable[[str], None] = _everything
    token: DashboardToken | None = None
