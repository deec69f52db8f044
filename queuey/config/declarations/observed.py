"""The settings of the log, of metrics and of traces: the sections ``[logging]``, ``[metrics]`` and ``[tracing]``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import HIDDEN, RELOAD, RESTART, setting
from queuey.config.kinds import collectors
from queuey.config.kinds.kinds import BOOLEAN, FILE, Kind, integer, lines, optional, rate, seconds, word
from queuey.config.kinds.name_patterns import group_patterns, queue_patterns
from queuey.config.kinds.statsd import StatsdAddress, address, address_text, prefix
from queuey.file_modes import OWN_USER, FileModes
from queuey.model.queues.name_patterns import GroupPattern, QueuePattern

_logging: Final = partial(setting, "logging", change=RESTART)
_metrics: Final = partial(setting, "metrics", change=RESTART)
_tracing: Final = partial(setting, "tracing", change=RESTART)


@attrs.frozen
class LoggingSettings:
    """The destination of the log.

    :ivar file: ``None`` is standard error.
    :ivar format: ``text`` or ``json``.
    :ivar level: ``debug``, ``info``, ``warn`` or ``error``.
    :ivar modes: of the file; those of ``ServerSettings``.
    """

    file: Path | None = _logging("file", optional(FILE))
    format: str = _logging("format", word("text", "json"), "text")
    level: str = _logging("level", word("debug", "info", "warn", "error"), "info", change=RELOAD)
    modes: FileModes = OWN_USER


@attrs.frozen
class MetricsSettings:
    """The metrics that are kept and exported.

    :ivar enabled: whether there are any.
    :ivar statsd: the address of a statsd server that gets them as well; ``None`` for none.
    :ivar prefix: the prefix of their names there.
    :ivar every: seconds between two reports to it.
    :ivar groups: the consumer groups that are measured, at most ``group_limit`` of them.
    :ivar group_every: seconds from the start of one round of measurements to the start of the next.
    :ivar queues: the queues that are measured, at most ``queue_limit`` of them, in rounds of ``queue_every`` seconds.
    """

    enabled: bool = _metrics("enabled", BOOLEAN, "true")
    statsd: StatsdAddress | None = _metrics(
        "statsd", optional(Kind("host:port, or unix: and the path of a socket", address, address_text))
    )
    prefix: str = _metrics(
        "statsd_prefix", Kind("1 to 100 letters, digits, dots, underscores and hyphens", prefix), "queuey"
    )
    every: float = _metrics("statsd_every", seconds(1, 3600), "10")
    groups: tuple[GroupPattern, ...] = _metrics(
        "groups", lines("patterns as application/queue/group, one a line", group_patterns), change=RELOAD
    )
    group_limit: int = _metrics("group_limit", integer(1, 10_000), "100", change=RELOAD)
    group_every: float = _metrics("group_every", seconds(1, 3600), "10", change=RELOAD)
    queues: tuple[QueuePattern, ...] = _metrics(
        "queues", lines("patterns as application/queue, one a line", queue_patterns), change=RELOAD
    )
    queue_limit: int = _metrics("queue_limit", integer(1, 10_000), "100", change=RELOAD)
    queue_every: float = _metrics("queue_every", seconds(1, 3600), "10", change=RELOAD)


@attrs.frozen
class TracingSettings:
    """The export of traces. Times are in seconds.

    :ivar endpoint: the URL of a collector; ``None`` switches tracing off.
    :ivar headers: header fields of each request to it.
    :ivar service_name: the service name of the spans.
    :ivar ratio: the share of the traces that begin here which is recorded.
    :ivar max_spans: the greatest number of spans that wait for their export.
    :ivar export_timeout: the limit for one export.
    :ivar flush_timeout: the limit for the remaining spans when the daemon stops.
    """

    endpoint: str | None = _tracing(
        "endpoint",
        optional(Kind("a URL of https or http, such as http://127.0.0.1:4318/v1/traces", collectors.endpoint)),
    )
    headers: tuple[tuple[str, str], ...] = _tracing(
        "headers",
        lines("header fields as name: value, one a line", collectors.headers, lambda one: f"{one[0]}: {HIDDEN}"),
        secret=True,
    )
    service_name: str = _tracing(
        "service_name", Kind("1 to 100 characters of printable ASCII", collectors.name), "queuey"
    )
    ratio: float = _tracing("ratio", rate(0, 1), "1")
    max_spans: int = _tracing("max_spans", integer(1, 1_000_000), "8192")
    export_timeout: float = _tracing("export_timeout", seconds(0.1, 60), "10")
    flush_timeout: float = _tracing("flush_timeout", seconds(0.1, 60), "5")
