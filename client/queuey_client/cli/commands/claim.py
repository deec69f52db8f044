"""``queuey claim``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import DURATION
from queuey_client.cli.commands.tail import environment_of
from queuey_client.cli.display.printing import Printer
from queuey_client.cli.failures import NO_MESSAGES, Failure
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.reading import WAIT
from queuey_client.core.retry import Seconds
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import Reject, RetryLater, longer_pause
from queuey_client.sync.group import Group
from queuey_client.sync.worker import Worker

AGAIN = 75
GIVE_UP = 65
"""The exit statuses EX_TEMPFAIL and EX_DATAERR of sysexits.h."""

LEASE = 30.0
COLUMNS = ("receipt", "id", "deliveries", "content_type", "body")


@click.command(
    "claim", cls=Command, epilog="queuey claim jobs workers -n 10 --ndjson\nqueuey claim jobs workers -j 4 -- ./work.sh"
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="claim at most N messages  [default: 1; with COMMAND: no limit]",
)
@click.option(
    "--wait",
    type=DURATION,
    metavar="DURATION",
    help="wait so long for a message  [default: 0; with COMMAND: until Ctrl-C]",
)
@click.option(
    "--lease",
    type=DURATION,
    metavar="DURATION",
    help="how long other workers do not get the message  [default: the group's; with COMMAND: 30s]",
)
@click.option(
    "-p", "--partition", type=click.IntRange(1), multiple=True, metavar="N", help="only this partition; may be repeated"
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 500),
    default=1,
    metavar="N",
    help="run up to N commands at the same time  [default: 1]",
)
@click.option("--ack", is_flag=True, help="ack messages after they are printed")
@click.option("--raw", is_flag=True, help="print bodies alone, each followed by a newline")
@click.option("--fail-empty", is_flag=True, help="exit with status 6 if there was no message")
@click.option(
    "--grace",
    type=DURATION,
    default="25s",
    metavar="DURATION",
    help="at SIGTERM or Ctrl-C, wait so long for the commands that run  [default: 25s]",
)
@click.pass_obj
def claim(
    settings: Settings,
    queue: str,
    group: str,
    command: tuple[str, ...],
    limit: int | None,
    wait: float | None,
    lease: float | None,
    partition: tuple[int, ...],
    jobs: int,
    ack: bool,
    raw: bool,
    fail_empty: bool,
    grace: float,
) -> int:
    """Claim messages and print them with their receipts, or run COMMAND for each.

    A claimed message has a lease: until it ends, no other worker of the group gets the message. Then the message is
    delivered again, unless it was acked. Receipts are for queuey settle.

    COMMAND gets the body as its standard input, and QUEUEY_ID, QUEUEY_TYPE, QUEUEY_DELIVERIES ... in its environment.
    The lease is extended while it runs. Its exit status decides: 0 acks the message, 75 delivers it again after a
    second, 65 rejects it (no worker gets it again), any other delivers it again after 1, 2, 4 ... 300 seconds.
    """  # fmt: skip
    target = settings.client.queue(queue).group(group)
    if not command:
        return _print(settings, target, limit or 1, wait or 0.0, lease, partition, ack, raw, fail_empty)
    if ack or raw or partition:
        raise click.UsageError("--ack, --raw and --partition do not go together with COMMAND")
    runner = _Runner(command, limit, settings)
    worker = runner.worker(target, jobs, LEASE if lease is None else lease)
    status = runner.run(worker, wait, grace)
    return NO_MESSAGES if fail_empty and not runner.begun else status


def _print(
    settings: Settings,
    group: Group,
    limit: int,
    wait: float,
    lease: float | None,
    partitions: tuple[int, ...],
    ack: bool,
    raw: bool,
    fail_empty: bool,
) -> int:
    printer = Printer(settings.output, raw, columns=COLUMNS)
    printer.start()
    until = time.monotonic() + wait
    while printer.count < limit:
        left = min(WAIT, max(0.0, until - time.monotonic())) if not printer.count else 0.0
        found = group.claim(min(1000, limit - printer.count), lease=lease, wait=left, partitions=partitions)
        for delivery in found:
            printer.one(delivery)
        if found and ack:
            settings.output.flush()
            group.ack(*found)
        if not found and (printer.count or time.monotonic() >= until):
            break
    printer.finish()
    return NO_MESSAGES if fail_empty and not printer.count else 0


class _CommandWorker(Worker):
    """A worker that can be asked to stop by what it runs."""

    def __init__(self, settings: Settings, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._settings = settings

    def finish(self) -> None:
        """Let ``run`` stop it."""
        self._stopping.set()

    def stop(self, grace: Seconds = 25) -> bool:
        """Stop. It hangs up while a claim waits, which is no failure to tell of."""
        self._settings.stopping = True
        return super().stop(grace)


class _Runner:
    """Runs the command for each message."""

    def __init__(self, command: tuple[str, ...], limit: int | None, settings: Settings) -> None:
        self._command = command
        self._limit = limit
        self._settings = settings
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._worker: _CommandWorker | None = None
        self._cannot_run: Failure | None = None
        self.begun = 0
        self.ended = 0
        self._heard = time.monotonic()

    def worker(self, group: Group, jobs: int, lease: float) -> _CommandWorker:
        """Return the worker; it takes no more than it can run at once."""
        jobs = jobs if self._limit is None else min(jobs, self._limit)
        self._worker = _CommandWorker(
            self._settings,
            group._driver,
            [group._calls],
            self._handle,
            threads=jobs,
            prefetch=0,
            lease=lease,
            longest=None,
            retry=None,
            on_event=self._on_event,
        )
        return self._worker

    def run(self, worker: _CommandWorker, wait: float | None, grace: float) -> int:
        """Run it to its end, and end what still runs then."""
        sys.stdout.flush()
        watching = threading.Thread(target=self._watch, args=(worker, wait), daemon=True)
        if wait is not None:
            watching.start()
        try:
            status = worker.run(grace=grace)
        finally:
            self._end(list(self._running))
        if self._cannot_run is not None:
            raise self._cannot_run
        return status

    def _watch(self, worker: _CommandWorker, wait: float) -> None:
        """Stop when no message came for so long."""
        while not worker._stopping.wait(min(0.2, max(wait, 0.05))):
            with self._lock:
                if not self._running and time.monotonic() - self._heard >= max(wait, 0.5):
                    worker.finish()

    def _handle(self, delivery: Delivery) -> None:
        with self._lock:
            if self._limit is not None and self.begun >= self._limit:
                raise RetryLater(0)
            self.begun += 1
            self._heard = time.monotonic()
        try:
            status = self._run(delivery)
        finally:
            with self._lock:
                self._running.pop(delivery.id, None)
                self.ended += 1
                self._heard = time.monotonic()
                if self._limit is not None and self.ended >= self._limit and self._worker is not None:
                    self._worker.finish()
        if status == 0:
            return
        self._settings.say(f"message {delivery.id}: {self._command[0]} ended with status {status}")
        if status == GIVE_UP:
            raise Reject(f"{os.path.basename(self._command[0])} ended with status {status}")
        raise RetryLater(1 if status == AGAIN else longer_pause(delivery))

    def _run(self, delivery: Delivery) -> int:
        more = {"QUEUEY_GROUP": delivery.group, "QUEUEY_DELIVERIES": str(delivery.deliveries)}
        environment = {**os.environ, **environment_of(delivery), **more}
        try:
            # A session of its own: Ctrl-C of the terminal is for this program, which lets the commands end.
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
        except OSError as error:
            self._cannot_run = Failure(f"{self._command[0]}: {error.strerror}")
            if self._worker is not None:
                self._worker.finish()
            raise RetryLater(0) from None
        with self._lock:
            self._running[delivery.id] = process
        process.communicate(delivery.body)
        return process.returncode

    def _on_event(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "lost":
            delivery = details["delivery"]
            complain(f"message {delivery.id}: another worker has it, since its lease ended; its command is ended")
            self._end([delivery.id])
        elif event in ("claim-failed", "settle-failed"):
            self._settings.say(f"{event.replace('-', ' ')}: {details.get('error')}")

    def _end(self, ids: list[str]) -> None:
        for id in ids:
            process = self._running.get(id)
            if process is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGTERM)
