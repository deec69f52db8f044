"""The alerts of ``queuey.rules.yml`` whose conditions can be seen at one moment, without the history of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import eq, ge, gt, lt
from typing import Any, Final

import attrs

from queuey.model.telemetry.counts import Gauge, Metric

MAX_SHOWN: Final = 20
"""Values that are shown of one alert."""


@attrs.frozen
class Condition:
    """The condition of an alert.

    :ivar alert: its name in the rules.
    :ivar metric: whose values are compared.
    :ivar sign: the comparison as the rules write it.
    :ivar unless: a metric that keeps the alert from firing if it is 1.
    :ivar text: what holds then.
    """

    alert: str
    metric: str
    sign: str
    bound: float
    text: str
    unless: str = ""


CONDITIONS: Final = (
    Condition("QueueyNotReady", "queuey_ready", "==", 0, "The front end is not ready.", "queuey_draining"),
    Condition("QueueyDrainLeftOn", "queuey_draining", "==", 1, "The front end is drained."),
    Condition("QueueyGroupBehind", "queuey_group_lag_messages", ">=", 1000, "A group is 1,000 messages behind."),
    Condition(
        "QueueyGroupStuck",
        "queuey_group_oldest_unsettled_seconds",
        ">",
        900,
        "A message has been unsettled for 15 minutes.",
    ),
    Condition("QueueyQueueDeep", "queuey_queue_messages", ">=", 10000, "A queue holds 10,000 messages."),
    Condition("QueueyQueueOld", "queuey_queue_oldest_seconds", ">", 86400, "A queue has a message of a day ago."),
    Condition("QueueyDiskLow", "queuey_disk_free_bytes", "<", 1 << 30, "Less than 1 GiB of the disk is free."),
    Condition("QueueyWalLarge", "queuey_sqlite_wal_bytes", ">", 128 << 20, "The write-ahead log exceeds 128 MiB."),
    Condition("QueueyClockSetBack", "queuey_stable_time_age_seconds", "<", -5, "The clock was set back."),
    Condition("QueueyStableTimeOld", "queuey_stable_time_age_seconds", ">", 30, "The stable time is 30 s old."),
    Condition("QueueyCassandraNodeAway", "queuey_cassandra_connections", "==", 0, "There is no connection to a node."),
)
"""The conditions. An alert fires if its condition holds for as long as the rules say; those that are made of rates need
Prometheus."""

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {"==": eq, ">=": ge, ">": gt, "<": lt}


def holding(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Return the alerts whose conditions hold now, each with the values for which it does.

    :param metrics: those of the daemon, as they are now.
    """
    gauges = {metric.name: metric for metric in metrics if isinstance(metric, Gauge)}
    return list(_holding(gauges))


def _holding(gauges: dict[str, Gauge]) -> Iterator[dict[str, Any]]:
    for condition in CONDITIONS:
        if condition.metric not in gauges or _is_on(gauges.get(condition.unless)):
            continue
        gauge, compare = gauges[condition.metric], _COMPARE[condition.sign]
        found = [
            {"labels": dict(zip(gauge.labels, labels, strict=True)), "value": value}
            for labels, value in gauge.read().items()
            if compare(value, condition.bound)
        ]
        if found:
            yield {
                "alert": condition.alert,
                "text": condition.text,
                "values": found[:MAX_SHOWN],
                "more": max(0, len(found) - MAX_SHOWN),
            }


def _is_on(gauge: Gauge | None) -> bool:
    return gauge is not None and any(value == 1 for value in gauge.read().values())
