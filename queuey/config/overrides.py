"""Settings that the command line gives, in place of those of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs

from queuey.config import legacy
from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.declarations.declared import Key, key_of
from queuey.config.declarations.server import OFF, OpsSettings
from queuey.config.declarations.storage import BACKEND, SQLiteStorage
from queuey.config.mistakes import Mistake, Report, plain
from queuey.config.reading import Section

_OPS: Final = key_of(OpsSettings, "named")
_DASHBOARD: Final = key_of(DashboardSettings, "listen")
_PATH: Final = key_of(SQLiteStorage, "path")
_WITHOUT_FOLDER: Final = ("memory", "cassandra")
"""The backends that have no ``path``."""


@attrs.frozen
class Overrides:
    """What ``--http``, ``--data``, ``--ops`` and ``--dashboard`` say; ``None`` leaves the file's setting in force.

    :ivar base: the folder that relative paths count from.
    :ivar http: endpoints of ``[server] http``, one a line.
    :ivar data: the folder of ``[storage] path``.
    :ivar ops: ``[server] ops``.
    :ivar dashboard: endpoints of ``[server] dashboard``, one a line.
    """

    base: Path = Path("/")
    http: str | None = None
    data: str | None = None
    ops: str | None = None
    dashboard: str | None = None

    def put(self, found: dict[str, Section], report: Report) -> None:
        """Put these values into the sections of a file, with absolute paths.

        :param found: the sections, by name.
        :param report: gets the mistakes, which are those of the command line and not of the file.
        """
        own = Report("command line")
        self._put_endpoints(found, own, "--http", legacy.HTTP, self.http)
        self._put_endpoints(found, own, "--ops", _OPS, self.ops)
        self._put_endpoints(found, own, "--dashboard", _DASHBOARD, self.dashboard)
        if self.data is not None:
            self._put_data(found, own, self.data)
        report.problems.extend(own.problems)

    def _put_data(self, found: dict[str, Section], report: Report, folder: str) -> None:
        storage = _section(found, _PATH).values
        backend = storage.get(BACKEND.name) or BACKEND.default
        if legacy.BACKENDS.get(backend, backend) in _WITHOUT_FOLDER:
            report.problem("--data", f"is of no use with backend = {plain(backend)}, whose data are not in a folder")
        elif not folder:
            report.problem("--data", "names no folder")
        else:
            storage[_PATH.name] = str(_PATH.kind.read(folder, self.base))

    def _put_endpoints(
        self, found: dict[str, Section], report: Report, option: str, key: Key[tuple[str, ...]], text: str | None
    ) -> None:
        if text is None:
            return
        try:
            described = key.kind.read(text, self.base) if text else ()
        except* Mistake as group:
            report.mistakes(option, group, key.allowed)
        else:
            if described or text == OFF:
                _section(found, key).values[key.name] = "\n".join(described) or OFF
            else:
                report.problem(option, "names no endpoint", allowed=key.allowed)


NONE = Overrides()
"""No setting is given on the command line."""


def _section(found: dict[str, Section], key: Key[Any]) -> Section:
    return found.setdefault(key.section, Section(0))
