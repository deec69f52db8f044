"""``queuey copy``: one store is copied into another while daemons serve from the first, and takes its place."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.python.failure import Failure

from queuey import config
from queuey.config import CassandraStorage, MemoryStorage, Storage
from queuey.core.copying import Copying, Tally
from queuey.deferreds import bounded, deferred
from queuey.errors import ConfigurationError, Unavailable
from queuey.interfaces import IExportSource, IImportTarget
from queuey.model.exports import MARK_KEY, Size
from queuey.storage import NOT_FROM_A_CLUSTER, ONLY_IN_MEMORY, make_export_source, make_import_target
from queuey_client.cli.progress import Progress
from queuey_client.core.counted import counted

LINES: Final = 3.0
"""Seconds between two lines that tell how far a pass has come."""

REDRAWN: Final = 0.5
"""The same for the progress bar of a terminal, which takes the place of these lines."""

FEW: Final = 1000
"""Changes in one pass that are few: the next one would have about as many."""

SHORT: Final = 10.0
"""Seconds of a pass that is short, however many changes it found."""

POLL: Final = 1.0
"""Seconds between two passes while it is waited for the source to be stopped."""


@attrs.frozen
class CopyArguments:
    """The arguments of a copy.

    :ivar finish: whether to complete the copy once no daemon serves from the source.
    :ivar wait: seconds that the target may take to be ready.
    """

    source: Storage
    target: Storage
    finish: bool
    wait: float
    files: tuple[Path, Path]


def copy_arguments(source: Path, target: Path, finish: bool, wait: float) -> CopyArguments:
    """Read two files of settings.

    :raise ConfigurationError: they have mistakes, name the same store, or stores that cannot be copied.
    """
    stores = config.load(source).storage, config.load(target).storage
    for file, storage in zip((source, target), stores, strict=True):
        if isinstance(storage, MemoryStorage):
            raise ConfigurationError((f"{file}: [storage] backend: {ONLY_IN_MEMORY}",))
    if isinstance(stores[0], CassandraStorage):
        raise ConfigurationError((f"{source}: [storage] backend: {NOT_FROM_A_CLUSTER}",))
    if name_of(stores[0]) == name_of(stores[1]):
        raise ConfigurationError((f"{target}: [storage]: names the same store as {source}",))
    return CopyArguments(*stores, finish, wait, (source, target))


def name_of(storage: Storage) -> str:
    """A store in words that differ from store to store."""
    if isinstance(storage, CassandraStorage):
        return f"the keyspace {storage.keyspace}"
    assert not isinstance(storage, MemoryStorage)
    return f"the store in {storage.path.resolve()}"


def copy(arguments: CopyArguments, stdout: TextIO) -> None:
    """Copy one store into another.

    :raise QueueyError: that is not possible; what was copied stays, and the same command continues.
    """
    ended: list[Failure | None] = []

    def main(reactor: Any) -> Deferred[None]:
        return _Run(arguments, reactor, stdout).run().addBoth(ended.append)

    with suppress(SystemExit):  # which is how it says that the work is over
        react(main)
    if not ended:
        raise KeyboardInterrupt
    if ended[0] is not None:
        ended[0].raiseException()


class _Run:
    """One call of the command."""

    def __init__(self, arguments: CopyArguments, reactor: Any, stdout: TextIO) -> None:
        self._arguments = arguments
        self._reactor = reactor
        self._stdout = stdout
        self._name = name_of(arguments.source)
        self._number = 0

    @deferred
    async def run(self) -> None:
        """Do it."""
        source = make_export_source(self._arguments.source, self._reactor, time.time)
        try:
            target = make_import_target(self._arguments.target, self._reactor, time.time)
            try:
                await self._opened(target)
                await self._copy(source, target)
            finally:
                await target.close()
        finally:
            await source.close()

    async def _opened(self, target: IImportTarget) -> None:
        """Wait until the target can be written to, for so long and no longer."""
        try:
            await bounded(target.opened(), self._arguments.wait, self._reactor, lambda: TimeoutError())
        except TimeoutError:
            try:
                await target.state(MARK_KEY)  # which says what it waits for
            except Unavailable as error:
                raise Unavailable(f"{self._arguments.files[1]}: {error.text}") from None

    async def _copy(self, source: IExportSource, target: IImportTarget) -> None:
        copying = Copying(source, target, self._sleep, lambda: uuid.uuid4().hex)
        await copying.begin(self._name)
        self._say(f"copying {self._name} into {name_of(self._arguments.target)}")
        await self._follow(copying)
        if not self._arguments.finish:
            self._say(
                f"Nearly done. Stop the daemons using {self._arguments.files[0]}, then run: "
                f"queuey copy --finish {self._arguments.files[0]} {self._arguments.files[1]}"
            )
            return
        waited = False
        while not await source.seal():
            if not waited:
                self._say(
                    f"the copy follows; it is completed once the daemons of {self._arguments.files[0]} are stopped"
                )
            waited = True
            await self._sleep(POLL)
            await self._pass(copying)
        self._say("no daemon serves from the source any more; copying the rest")
        passes = self._number + await self._told(copying, lambda: copying.complete(self._name))
        tally = copying.tally
        self._say(
            f"complete: {_looked(tally, ' and ')} are the same on both sides, as pass {passes} has found; "
            f"daemons may be started on {self._arguments.files[1]}"
        )

    async def _follow(self, copying: Copying) -> None:
        """Make passes until little is left."""
        while True:
            began = self._reactor.seconds()
            await self._pass(copying)
            if copying.tally.changes <= FEW or self._reactor.seconds() - began <= SHORT:
                return

    async def _pass(self, copying: Copying) -> None:
        await self._told(copying, copying.run_pass)
        self._number += 1
        if copying.tally.changes or self._number == 1:
            self._say(f"pass {self._number}: {described(copying.tally)}")

    async def _told(self, copying: Copying, work: Callable[[], Deferred[Any]]) -> Any:
        """Do some work, and print its progress meanwhile."""
        began = self._reactor.seconds()

        def show() -> None:
            if terminal:
                bar.update(copying.tally.looked, copying.size.messages)
            else:
                self._say(progress(copying.tally, copying.size, self._reactor.seconds() - began))

        terminal = sys.stderr.isatty()
        shows = LoopingCall(show)
        shows.clock = self._reactor
        with Progress(terminal, f"pass {self._number + 1}, messages") as bar:
            shows.start(REDRAWN if terminal else LINES, now=False)
            try:
                return await work()
            finally:
                shows.stop()

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)

    def _say(self, text: str) -> None:
        print(text, file=self._stdout, flush=True)


def _looked(tally: Tally, between: str = ", ") -> str:
    return f"{counted(tally.queues, 'queue')}{between}{counted(tally.looked, 'message')}"


def described(tally: Tally) -> str:
    """Describe the result of a pass in words."""
    return (
        f"{_looked(tally)} looked at, {tally.messages} copied, {tally.removed} removed, "
        f"{counted(tally.others, 'queue, state or key', 'queues, states and keys')} changed"
    )


def progress(tally: Tally, size: Size, seconds: float) -> str:
    """Describe the progress of a pass after some seconds in words."""
    rate = tally.looked / max(seconds, 0.001)
    text = f"{_looked(tally)} looked at, {tally.messages} copied, {rate:.0f} messages/s"
    if size.messages is None or not rate:
        return text
    left = max(size.messages - tally.looked, 0)
    return f"{text}, about {left} left ({left / rate:.0f} s)"
