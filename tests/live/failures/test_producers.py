"""Producers that retry until they are answered, through a proxy that cuts, before a daemon that is killed."""

from __future__ import annotations

import signal
import time
from random import Random

from tests.histories.checkers import problems
from tests.histories.clients import Log, new_seed, working
from tests.histories.producers import producers
from tests.histories.proxy import Cut, Proxy
from tests.histories.readers import read_all, readers
from tests.histories.record import Record
from tests.live.clients import make_queue
from tests.live.failures.faults import LONG, FaultTestCase
from tests.live.running import Daemon, free_port, write_settings

LASTS = 600.0 if LONG else 9.0
"""Seconds for which producers begin new things, at least."""

FEWEST = 3
"""Kills that there are at least, however busy the machine is."""

DUE = 2.5
"""Seconds after which no delay is left."""

LOG = Log("q", 3)


class ProducerTests(FaultTestCase):
    """kill -9 of a daemon over one folder, again and again, each time on another port."""

    run_in = "test"

    def setUp(self) -> None:
        super().setUp()
        self.seed = new_seed()
        self.say(f"QUEUEY_SEED={self.seed}")
        self.random = Random(self.seed)
        self.record = Record()

    def test_kills(self) -> None:
        """No key has two ids, no cursor passes a message over or comes upon it twice, and no second body is taken."""
        daemon = self.serve()
        make_queue(self.port, LOG.name, partitions=LOG.partitions)
        proxy = Proxy("daemon", self.port, self.random)
        self.addCleanup(proxy.close)
        with working(readers([proxy], LOG, self.record, self.seed)):
            with working(producers(6, [proxy], LOG, self.record, self.seed, 0.02)):
                daemon, kills = self.kill_again_and_again(daemon, proxy)
            proxy.calm()
            time.sleep(DUE)
        found = read_all(proxy, LOG)
        self.stop(daemon)
        self.check_file()
        self.say(f"{kills} kills; {self.record.summary()}; connections cut: {proxy.summary()}")
        wrong = problems(self.record, found)
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertEqual([cut for cut in Cut if not proxy.cuts[cut]], [])
        self.assertGreaterEqual(kills, FEWEST)
        self.assertGreater(self.record.saved(), kills)

    def kill_again_and_again(self, daemon: Daemon, proxy: Proxy) -> tuple[Daemon, int]:
        """:return: the daemon that serves at last, and how many were killed."""
        kills = 0
        began = time.monotonic()
        while not self.is_enough(kills, proxy, time.monotonic() - began):
            time.sleep(self.random.uniform(1, 4))
            self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
            self.assertNotIn("Traceback", daemon.output())
            kills += 1
            self.port = free_port()
            write_settings(self.folder, self.port)
            proxy.point(self.port)
            daemon = self.serve()
        return daemon, kills

    def is_enough(self, kills: int, proxy: Proxy, seconds: float) -> bool:
        """Return whether every kind of fault has happened, or whether that takes far too long."""
        happened = kills >= FEWEST and all(proxy.cuts[cut] for cut in Cut)
        return seconds > LASTS and (happened or seconds > 10 * LASTS)
