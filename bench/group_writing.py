"""What claims and settlements take of the writing thread of the embedded store, without network, reactor and sync.

Batches of claims and settlements are run in this process, as the writing thread runs them. For each kind of batch the
processor time and the function calls for one command are printed, beside those of a POST: claims of one message and
settlements of those of the batch before, fused ones, and claims of 10 and of 100 messages.

    python -m bench.group_writing [ROUNDS]
"""

from __future__ import annotations

import cProfile
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.arguments import Number, run
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.groups.commands import Command, Ran, Settle, Take, TakeAnswer
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Settlement, Terms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import LOWEST, SECOND, Ticks
from queuey.storage.sqlite import SQLiteStore, groups, states
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.writing import writes
from queuey.storage.sqlite.writing.writer import Writer
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import SQLiteSubject

BODY: Final = b"x" * 1024
LEASE: Final = Ticks(60 * SECOND)
TERMS: Final = Terms()
FREE: Final = WriteTerms(Ack.MAJORITY)
BATCHES: Final = (1, 4, 16, 32)
ROUNDS: Final = 200


class Bench:
    """A store in this process, and one group of a queue."""

    def __init__(self, folder: Path, queues: int = 1) -> None:
        self.subject = SQLiteSubject(folder, Inline)
        self.take_writer()
        self.places = [self.make(number) for number in range(queues)]
        self.tokens: list[tuple[int, tuple[Receipt, ...]]] = []
        self.at = 0

    def take_writer(self) -> None:
        """Run batches in the writer of the store as it is open now."""
        store = self.subject.store
        assert isinstance(store, SQLiteStore)
        assert store._open is not None
        self.writer: Writer = store._open.writer

    def make(self, number: int) -> tuple[Queue, Group]:
        queue, _ = done(self.subject.store.create("app", f"q{number}", QueueSettings(), None))
        gid = number.to_bytes(16, "big")
        group = Group(queue.incarnation, "g", gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        self.work(Job(states.replace, (group_key(queue.incarnation, "g"), None, encode_group(group), "v"), {}))
        return queue, group

    def work(self, *jobs: Job[Writer]) -> float:
        """Run a batch; the processor time that it took, in seconds."""
        self.subject.wall.seconds += 0.001
        began = time.thread_time()
        self.writer.work(jobs)
        took = time.thread_time() - began
        self.writer.checkpoints.run()
        for job in jobs:
            if job.error is not None:
                raise job.error
        return took

    def posts(self, count: int) -> tuple[float, int]:
        """Post single messages in one batch; the time, and how many there were."""
        queue = self.places[0][0]
        return self.work(*[posting(queue, 1) for _ in range(count)]), count

    def fill(self, count: int) -> None:
        """Post many messages to each queue."""
        for queue, _ in self.places:
            for start in range(0, count, 1000):
                self.work(posting(queue, min(1000, count - start)))

    def round(self, count: int, size: int, fused: bool) -> tuple[float, int]:
        """Run a batch of claims, and of settlements of what the batch before has claimed.

        :return: the time, and the number of commands.
        """
        jobs: list[Job[Writer]] = []
        tokens, self.tokens = self.tokens, []
        take = Take((1,), size, LEASE, 1 << 20)
        taking = []
        commands: list[Command]
        for number in range(count):
            settle = None
            if number < len(tokens):
                at, receipts = tokens[number]
                settle = Settle(tuple([Settlement(Action.ACK, one) for one in receipts]))
                if not fused:
                    jobs.append(self.job(at, (settle,)))
            if fused and settle is not None:
                place, commands = at, [settle, take]
            else:
                place, commands = self.at, [take]
                self.at = (self.at + 1) % len(self.places)
            job = self.job(place, commands)
            taking.append((place, job))
            jobs.append(job)
        took = self.work(*jobs)
        for place, job in taking:
            self.tokens.append((place, self.receipts(place, job.result)))
        return took, len(jobs)

    def job(self, place: int, commands: Sequence[Command]) -> Job[Writer]:
        queue, group = self.places[place]
        return Job(groups.run, (queue, group, TERMS, commands), {})

    def receipts(self, place: int, ran: Ran) -> tuple[Receipt, ...]:
        answer = ran.answers[-1]
        assert isinstance(answer, TakeAnswer)
        if not answer.shares:
            raise SystemExit("a claim got nothing")
        (share,) = answer.shares
        queue = self.places[place][0].incarnation
        return tuple([Receipt(queue, share.generation, 1, one.id, one.number) for one in share.taken])


def posting(queue: Queue, count: int, body: bytes = BODY) -> Job[Writer]:
    messages = [NewMessage(1, Content(body, "text/plain"), 3600)] * count
    return Job(writes.append, (queue, messages, FREE), {})


def done(deferred: Any) -> Any:
    """The result of a Deferred that has fired."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0]


def measure(what: str, rounds: int, work: Callable[[], tuple[float, int]], messages: int = 1) -> None:
    """Print the processor time of one command, the least of some series, and the calls that it makes."""
    work()
    gc.collect()
    best = min(_series(rounds, work) for _ in range(5))
    profile = cProfile.Profile()
    profile.enable()
    number = sum(work()[1] for _ in range(20))
    profile.disable()
    calls = sum(entry.callcount for entry in profile.getstats()) / number
    per = f", {1e6 * best / messages:.2f} us a message" if messages > 1 else ""
    print(f"{what}: {1e6 * best:.1f} us and {calls:.0f} calls a command{per}", flush=True)


def _series(rounds: int, work: Callable[[], tuple[float, int]]) -> float:
    results = [work() for _ in range(max(1, rounds // 5))]
    return sum(took for took, _ in results) / sum(number for _, number in results)


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        for batch in BATCHES:
            one = Bench(Path(name) / f"post{batch}")
            measure(f"{batch} POSTs", rounds, partial(one.posts, batch))
        for fused in (False, True):
            for batch in BATCHES:
                some = Bench(Path(name) / f"some{batch}{fused}")
                some.fill((rounds + 30) * batch)
                kind = "fused" if fused else "claims and settlements"
                measure(f"{batch} {kind}", rounds, partial(some.round, batch, 1, fused))
        for size, batch in ((10, 8), (100, 2)):
            some = Bench(Path(name) / f"large{size}")
            some.fill((rounds + 30) * batch * size)
            what = f"{batch} claims of {size} and settlements"
            measure(what, rounds, partial(some.round, batch, size, False), size // 2)


if __name__ == "__main__":
    run(main, rounds=Number(ROUNDS))
