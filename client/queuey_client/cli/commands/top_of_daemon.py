"""What ``queuey top`` shows of a whole daemon: reports of its operators' port."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from queuey_client.cli import contexts
from queuey_client.cli.failures import Failure, printable
from queuey_client.cli.ops_port import CallFailed, Fault, call, connect
from queuey_client.cli.settings import Settings

COLUMNS = (
    "application",
    "queue",
    "messages",
    "bytes",
    "oldest_age",
    "stored_per_s",
    "given_per_s",
    "acked_per_s",
    "groups",
    "behind",
    "in_flight",
    "group_age",
)
RATES = ("stored", "given", "acked")

PAGE = 100
"""Queues of one report."""

SECONDS = 30.0
"""Seconds that a report may take."""


class LookAtDaemon:
    """Looks at the queues of a daemon.

    :param most: queues that are looked at.
    """

    def __init__(self, settings: Settings, address: str, prefix: str, most: int) -> None:
        self._address = address
        self._prefix = prefix
        self._most = most
        self._application = settings.application_or_none
        self._token = _token(settings)

    def rows(self, sort: str, column: str) -> list[dict[str, Any]]:
        """Return a row for each queue.

        :param sort: by what.
        :param column: that has it.
        """
        rate = sort if sort in RATES else "stored"
        rows = list(self._rows("name" if sort == "name" else rate))
        return rows if sort == "name" else sorted(rows, key=lambda row: -(row[column] or 0))

    def _rows(self, sort: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"sort": sort, "prefix": self._prefix, "limit": PAGE}
        if self._application is not None:
            asked["application"] = self._application
        for _ in range(self._most // PAGE):
            report = self._ask("queues.report", asked)
            now = _seconds(report["now"]) or 0.0
            for queue in report["queues"]:
                yield row_of(queue, now)
            if report["next"] is None:
                return
            asked["after"] = report["next"]

    def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        connection = None
        try:
            connection = connect(self._address, SECONDS)
            return call(connection, method, params, self._token)
        except Fault as fault:
            raise Failure("; ".join(map(printable, fault.lines))) from None
        except CallFailed as error:
            raise Failure(f"{printable(self._address)}: {printable(str(error))}") from None
        finally:
            if connection is not None:
                connection.close()


def row_of(queue: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the row of a queue of a report.

    :param now: the time of the report, in seconds since 1970.
    """
    rates, groups = queue["rates"] or dict.fromkeys(RATES, 0.0), queue["groups"] or []
    measured = [group for group in groups if group["behind"] is not None]
    ages = [age for group in measured if (age := _age(group["oldest"], now)) is not None]
    return {
        "application": queue["application"],
        "queue": queue["name"],
        "messages": queue["messages"],
        "bytes": queue["bytes"],
        "approximate": bool(queue["approximate"]),
        "oldest_age": _age(queue["oldest"], now),
        **{f"{kind}_per_s": rates[kind] for kind in RATES},
        "groups": None if queue["groups"] is None else len(groups),
        "behind": sum(group["behind"] for group in measured) if measured else None,
        "exact": all(group["exact"] for group in measured) and not queue["more_groups"],
        "in_flight": sum(group["in_flight"] for group in measured) if measured else None,
        "group_age": max(ages) if ages else None,
    }


def _age(text: str | None, now: float) -> float | None:
    then = _seconds(text)
    return None if then is None else max(0.0, round(now - then, 3))


def _seconds(text: str | None) -> float | None:
    """Return a time of RFC 3339 in UTC as seconds since 1970."""
    if text is None:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


def _token(settings: Settings) -> str | None:
    file = settings.given("token_file")
    return None if file is None else contexts.key_of_file(Path(str(file)))


def check_sort(sort: str, address: str | None) -> None:
    """Refuse to sort by what only the operators' port reports. :raise click.UsageError: if no daemon is asked."""
    if sort in RATES and address is None:
        raise click.UsageError(f"--sort {sort} needs --ops: only the operators' port has rates")
    if sort == "change" and address is not None:
        raise click.UsageError("--sort change is for the API; with --ops sort by stored, given or acked")
