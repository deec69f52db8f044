"""What ``queuey copy`` makes of two files of settings, and the words in which it tells how far it is."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey.cli.copying import copy_arguments, described, name_of, progress
from queuey.config import CassandraStorage, SQLiteStorage
from queuey.core.copying import Tally
from queuey.errors import ConfigurationError
from queuey.model.exports import Size
from tests.cli.test_commands import run
from tests.storage.quick import quick_directory


class OrderTests(SynchronousTestCase):
    """Two files."""

    def setUp(self) -> None:
        self.folder = quick_directory(self)

    def file(self, name: str, storage: str) -> Path:
        path = self.folder / name
        path.write_text(f"[storage]\n{storage}\n")
        return path

    def test_two_stores(self) -> None:
        source = self.file("a.ini", "backend = sqlite\npath = a")
        target = self.file("b.ini", "backend = cassandra\ndatabase = b")
        made = copy_arguments(source, target, True, 7.0)
        self.assertIsInstance(made.source, SQLiteStorage)
        self.assertIsInstance(made.target, CassandraStorage)
        self.assertEqual((made.finish, made.wait, made.files), (True, 7.0, (source, target)))
        self.assertEqual(name_of(made.source), f"the store in {self.folder.resolve() / 'a'}")
        self.assertEqual(name_of(made.target), "the keyspace b")

    def test_what_is_refused(self) -> None:
        one = self.file("a.ini", "backend = sqlite\npath = a")
        same = self.file("b.ini", f"backend = sqlite\npath = {self.folder}/x/../a")
        memory = self.file("c.ini", "backend = memory")
        for source, target, words in (
            (one, same, "names the same store as"),
            (one, memory, "neither copied nor copied to"),
            (memory, one, "neither copied nor copied to"),
            (one, self.folder / "none.ini", "none.ini"),
        ):
            error = self.assertRaises(ConfigurationError, copy_arguments, source, target, False, 1.0)
            self.assertIn(words, str(error))
            status, out, err = run("copy", str(source), str(target))
            self.assertEqual((status, out, err), (1, "", f"{error}\n"))

    def test_cluster_is_no_source(self) -> None:
        cluster = self.file("a.ini", "backend = cassandra")
        target = self.file("b.ini", "backend = sqlite\npath = b")
        error = self.assertRaises(ConfigurationError, copy_arguments, cluster, target, False, 1.0)
        self.assertTrue(
            str(error).startswith(f"{cluster}: [storage] backend: a cluster cannot be the source of a copy"), str(error)
        )

    def test_wait(self) -> None:
        one, other = self.file("a.ini", "backend = sqlite\npath = a"), self.file("b.ini", "backend = sqlite\npath = b")
        for wait, what in (
            ("nan", "is not a time, such as 90, 90s, 15m, 6h or 3d"),
            ("inf", "is not a time, such as 90, 90s, 15m, 6h or 3d"),
            ("-1", "is out of range"),
            ("86401", "is out of range"),
        ):
            status, out, err = run("copy", f"--wait={wait}", str(one), str(other))
            self.assertEqual((status, out), (2, ""), wait)
            words = f"argument --wait: '{wait}' {what}; allowed: 0 to 86400 seconds"
            self.assertEqual(err.splitlines()[-1], f"queuey copy: error: {words}")


class WordsTests(SynchronousTestCase):
    """Lines of progress for the person who waits."""

    def test_progress(self) -> None:
        tally = Tally(queues=3, looked=2000, messages=500)
        self.assertEqual(
            progress(tally, Size(3, 6000), 4.0),
            "3 queues, 2000 messages looked at, 500 copied, 500 messages/s, about 4000 left (8 s)",
        )
        self.assertEqual(
            progress(tally, Size(None, None), 4.0), "3 queues, 2000 messages looked at, 500 copied, 500 messages/s"
        )
        self.assertEqual(
            progress(Tally(), Size(3, 6000), 0.0), "0 queues, 0 messages looked at, 0 copied, 0 messages/s"
        )

    def test_a_pass(self) -> None:
        self.assertEqual(
            described(Tally(1, 20, 3, 4, 5)),
            "1 queue, 20 messages looked at, 3 copied, 4 removed, 5 queues, states and keys changed",
        )
