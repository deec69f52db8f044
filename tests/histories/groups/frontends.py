"""Two front ends of one keyspace, and all that can happen to them and to the nodes below."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final

from tests.histories.groups.history import Fault, GroupHistory
from tests.histories.proxy import Proxy
from tests.live.cassandra.fronts import Front
from tests.live.cassandra.nodes import Cluster
from tests.live.cassandra.shared import new_keyspace

PAUSED: Final = (2.5, 5.0)
"""Seconds for which a front end is paused: longer than a write may take, and than any lease."""

DOWN: Final = (2.0, 6.0)
"""Seconds for which a node is killed or paused."""

STARTS: Final = 600.0
"""Seconds that a front end may take to serve, with everything else on the same machine."""

DEFECTS: Final = (" critical ", "Traceback", "Unhandled error")


class TwoFrontEnds:
    """Front ends that share nothing but the nodes.

    :ivar proxies: before them, for clients.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[str],
        port: int,
        seed: int,
        history: GroupHistory,
        ends: ExitStack,
        cluster: Cluster | None = None,
        **storage: object,
    ) -> None:
        """Start nothing yet.

        :param cluster: of three nodes that may be broken; ``None``: none may.
        :param storage: more of ``[storage]``.
        :param ends: ends all that was begun.
        """
        where = ", ".join(f"{host}:{port}" for host in hosts)
        settings = {"host": where, "database": new_keyspace(), "frontends": "many", **storage}
        self.fronts = [Front(name, folder / name, settings) for name in "ab"]
        self.proxies = [Proxy(front.name, front.port, Random(f"{front.name} of {seed}")) for front in self.fronts]
        for proxy in self.proxies:
            ends.callback(proxy.close)
        self._cluster = cluster
        self._random = Random(f"faults of {seed}")
        self._history = history
        self._logs: list[str] = []
        self._ends = ends

    def start(self) -> None:
        """Start both, and wait until they serve."""
        for front in self.fronts:
            front.start()
            self._ends.callback(front.kill)
        for front in self.fronts:
            front.wait_until_it_serves(STARTS)

    def stop(self) -> None:
        """Ask both to end."""
        for front in self.fronts:
            front.stop()
            self._keep_log(front)

    def calm(self) -> None:
        """Cut no connection any more, and wait until both serve."""
        for proxy in self.proxies:
            proxy.calm()
        for front in self.fronts:
            front.wait_until_it_serves(STARTS)

    def defects(self) -> Iterator[str]:
        """Lines of their logs, in all their runs, that speak of defects of their own."""
        for line in self.log().splitlines():
            if any(word in line for word in DEFECTS):
                yield line

    def log(self) -> str:
        """Return what both wrote, in all runs that have ended."""
        return "\n".join(self._logs)

    def _keep_log(self, front: Front) -> None:
        self._logs += [f"{front.name}: {line}" for line in front.log().splitlines()]

    # What can happen to them

    def break_something(self) -> None:
        """Any of it, and all is well again."""
        faults: list[Callable[[], None]] = [self.kill, self.pause]
        if self._cluster is not None:
            faults += [self.kill_node, self.pause_node]
        self._random.choice(faults)()

    def kill(self) -> None:
        """kill -9 of a front end; it is started again, and the other one goes on."""
        front = self._random.choice(self.fronts)
        with self._noted("kill -9 of a front end"):
            front.kill()
            self._keep_log(front)
            time.sleep(self._random.uniform(0, 1))
            front.start()
            front.wait_until_it_serves(STARTS)

    def pause(self) -> None:
        """SIGSTOP of a front end, and SIGCONT after some time."""
        front = self._random.choice(self.fronts)
        with self._noted("pause of a front end"):
            front.pause()
            time.sleep(self._random.uniform(*PAUSED))
            front.resume()

    def kill_node(self) -> None:
        """kill -9 of a node, which is started again after some time."""
        assert self._cluster is not None
        index = self._random.randrange(len(self._cluster.hosts))
        with self._noted("kill -9 of a node"):
            self._cluster.node(index).kill()
            time.sleep(self._random.uniform(*DOWN))
            self._cluster.restart(index)

    def pause_node(self) -> None:
        """SIGSTOP of a node, and SIGCONT after some time."""
        assert self._cluster is not None
        node = self._cluster.node(self._random.randrange(len(self._cluster.hosts)))
        with self._noted("pause of a node"):
            node.pause()
            time.sleep(self._random.uniform(*DOWN))
            node.resume()

    @contextmanager
    def _noted(self, kind: str) -> Iterator[None]:
        at = time.monotonic()
        yield
        self._history.broken(Fault(kind, at, time.monotonic()))
