"""The file and the observer: what is written, what is lost, and that neither ever stops the program."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from threading import Thread

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.errors import ConfigurationError
from queuey.logs import LEVELS, STYLES, EventLog, LogFile, LogObserver, open_log
from queuey.model.telemetry.counts import Counter
from tests.logs.support import Events


class StingyFile(LogFile):
    """A file on a disk that has room for so many bytes, or none."""

    room: int | None = None
    written = b""

    def __init__(self) -> None:
        super().__init__(None, -1)

    def _put(self, data: bytes) -> int:
        piece = data if self.room is None else data[: self.room]
        if not piece:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.room is not None:
            self.room -= len(piece)
        self.written += piece
        return len(piece)


class LogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(0o700)
        self.path = folder / "q"

    def open(self, level: str = "info", format: str = "text") -> tuple[LogObserver, EventLog]:
        observer = open_log(self.path, format, level, 2, lambda: 0.0)
        self.addCleanup(observer.close)
        return observer, EventLog(Logger("queuey.test", observer=observer))

    def words(self, path: Path | None = None) -> list[str]:
        return [line.split(" ")[2] for line in (path or self.path).read_text().splitlines()]


class ObserverTests(LogTestCase):
    def test_interface(self) -> None:
        self.assertTrue(verifyObject(ILogObserver, self.open()[0]))

    def test_lines_are_there_at_once(self) -> None:
        _, log = self.open()
        log.info("one", "x")
        self.assertEqual(self.words(), ["one"])
        log.info("two", "x")
        self.assertEqual(self.words(), ["one", "two"])

    def test_modes(self) -> None:
        """The file is for the daemon's user alone, whatever the umask is, and stays so when it is rotated."""
        for umask in (0o000, 0o022, 0o277):
            self.path = self.path.with_name(f"{umask:o}.log")
            before = os.umask(umask)
            try:
                observer, log = self.open()
                self.path.rename(self.path.with_suffix(".log.1"))
                observer.reopen()
            finally:
                os.umask(before)
            log.info("one", "x")
            self.assertEqual([stat.S_IMODE(one.stat().st_mode) for one in (self.path, self.path.with_suffix(".log.1"))],
                             [0o600, 0o600])  # fmt: skip
            self.assertEqual(self.words(), ["one"])

    def test_files_that_others_could_read(self) -> None:
        """They cannot any longer, and that is reported; so with the folder, unless there is something else in it."""
        folder = self.path.parent
        folder.chmod(0o755)
        self.path.touch(0o644)
        self.path.chmod(0o644)
        observer, _ = self.open()
        self.assertEqual([stat.S_IMODE(one.stat().st_mode) for one in (self.path, folder)], [0o600, 0o700])
        text = f"these files were readable for other users, and are not any more: {self.path} (644), {folder} (755)"
        self.assertTrue(self.path.read_text().endswith(f" warn files-tightened {text}\n"))
        self.path.rename(self.path.with_suffix(".1"))
        self.path.touch(0o644)
        self.path.chmod(0o644)
        observer.reopen()
        self.assertEqual((self.words(), stat.S_IMODE(self.path.stat().st_mode)), (["files-tightened"], 0o600))
        folder.chmod(0o755)
        (folder / "of another program").touch()
        self.open()
        self.assertEqual((self.words(), stat.S_IMODE(folder.stat().st_mode)), (["files-tightened"], 0o755))

    def test_what_twisted_says_of_itself(self) -> None:
        """Its ordinary lines are shown at the level debug; those of others, and what is wrong, at every level."""
        observer, _ = self.open()
        ordinary = [("log_legacy", "info"), ("twisted.scripts._twistd_unix.UnixAppLogger", "info")]
        shown = [("log_legacy", "critical"), ("twisted.internet", "warn"), ("stdout", "info"), ("twistedly", "info")]
        for lowest, expected in (("info", shown), ("debug", ordinary + shown)):
            self.path.write_text("")
            observer.set_level(lowest)
            for namespace, level in ordinary + shown:
                named = LogLevel.levelWithName(level)
                observer({"log_level": named, "log_namespace": namespace, "log_format": "x", "log_time": 0.0})
            lines = [line.split()[1:3] for line in self.path.read_text().splitlines()]
            self.assertEqual(lines, [[level, namespace] for namespace, level in expected])

    def test_levels(self) -> None:
        observer, log = self.open()
        for number, lowest in enumerate(LEVELS):
            observer.set_level(lowest)
            for level in LEVELS:
                getattr(log, level)(level, "x")
            observer({"log_level": LogLevel.critical, "log_format": "x"})
            self.assertEqual(self.words(), [*LEVELS[number:], "-"])
            self.path.write_text("")

    def test_appends(self) -> None:
        self.path.touch(0o600)
        self.path.write_text("- - before\n")
        self.open()[1].info("after", "x")
        self.assertEqual(self.words(), ["before", "after"])

    def test_both_formats(self) -> None:
        self.assertEqual(set(STYLES), {"text", "json"})
        self.open(format="json")[1].info("one", "x")
        self.assertTrue(self.path.read_text().startswith('{"time":"'))

    def test_what_cannot_be_shown(self) -> None:
        class Odd:
            def __str__(self) -> str:
                raise RuntimeError("no")

        observer, _ = self.open(format="json")
        publisher = LogPublisher(observer)
        EventLog(Logger("queuey.test", observer=publisher)).info("one", "x", odd=Odd())
        (line,) = self.path.read_text().splitlines()
        self.assertIn('"event":"log-unformattable"', line)
        self.assertIn("An event cannot be shown: RuntimeError", line)

    def test_a_file_that_cannot_be_opened(self) -> None:
        self.path = self.path / "none" / "q.log"
        error = self.assertRaises(ConfigurationError, self.open)
        self.assertEqual(error.problems, (f"[logging] file: {self.path} cannot be opened: No such file or directory",))

    def test_a_pipe_without_a_reader_is_not_waited_for(self) -> None:
        os.mkfifo(self.path)
        error = self.assertRaises(ConfigurationError, self.open)
        self.assertIn("cannot be opened", error.problems[0])

    def test_standard_error_stays_open(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        observer = open_log(None, "text", "info", writing, lambda: 0.0)
        observer({"log_format": "x", "event": "one"})
        observer.reopen()
        observer.close()
        os.write(writing, b"still open")
        self.assertEqual(os.read(reading, 1000), b"- info one x\nstill open")


class ReopenTests(LogTestCase):
    def test_after_a_move(self) -> None:
        observer, log = self.open()
        log.info("one", "x")
        moved = self.path.with_suffix(".1")
        self.path.rename(moved)
        log.info("two", "x")
        observer.reopen()
        log.info("three", "x")
        self.assertEqual((self.words(moved), self.words()), (["one", "two"], ["three"]))

    def test_descriptors_do_not_leak(self) -> None:
        observer, _ = self.open()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            observer.reopen()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_not_possible(self) -> None:
        folder = self.path
        folder.mkdir(0o700)
        self.path = folder / "q.log"
        observer, log = self.open()
        self.path.rename(folder.with_suffix(".log"))
        folder.rmdir()
        observer.reopen()
        log.info("two", "x")
        kept = folder.with_suffix(".log")
        self.assertEqual(self.words(kept), ["log-reopen-failed", "two"])
        self.assertIn("the old one is kept: No such file or directory", kept.read_text())

    def test_after_the_end(self) -> None:
        observer, log = self.open()
        observer.close()
        observer.close()
        log.info("late", "x")
        self.assertEqual(self.words(), [])


class LossTests(LogTestCase):
    def observer(self, file: LogFile) -> tuple[LogObserver, EventLog]:
        observer = LogObserver(file, STYLES["text"](), "info", lambda: 0.0)
        return observer, EventLog(Logger("queuey.test", observer=observer))

    def test_a_full_disk(self) -> None:
        file = StingyFile()
        _, log = self.observer(file)
        log.info("one", "x")
        before = file.written
        file.room = 0
        for _ in range(3):
            log.info("lost", "x")
        self.assertEqual(file.written, before)
        file.room = None
        log.info("two", "x")
        log.info("three", "x")
        words = [line.split(" ", 2)[2] for line in file.written.decode().splitlines()]
        lost = "log-lines-lost 3 lines of the log could not be written"
        self.assertEqual(words, ["one x", lost, "two x", "three x"])

    def test_half_a_line(self) -> None:
        file = StingyFile()
        _, log = self.observer(file)
        file.room = 20
        log.info("torn", "x")
        file.room = None
        log.info("two", "x")
        lines = file.written.decode().splitlines()
        self.assertEqual(len(lines[0]), 20)
        self.assertEqual([line.split(" ")[2] for line in lines[1:]], ["log-lines-lost", "two"])

    def test_the_notice_can_be_lost_too(self) -> None:
        file = StingyFile()
        _, log = self.observer(file)
        file.room = 0
        log.info("lost", "x")
        log.info("lost", "x")
        file.room = 5
        log.info("lost", "x")
        file.room = None
        log.info("two", "x")
        self.assertIn("3 lines of the log could not be written", file.written.decode())

    def test_a_reader_who_left(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        self.addCleanup(os.close, writing)
        _, log = self.observer(LogFile(None, writing))
        log.info("lost", "x")

    def test_a_reader_who_sleeps(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        _, log = self.observer(LogFile(None, writing))
        for _ in range(200):
            # Far more than a pipe holds; a write that waited would hang here for ever.
            log.info("many", "{x}", x="x" * 1000)
        first = os.read(reading, 1 << 20).decode()
        log.info("last", "x")
        rest = os.read(reading, 1 << 20).decode()
        whole = first.count("many")
        self.assertIn(f"log-lines-lost {200 - first.count(chr(10))} lines", rest)
        self.assertGreater(whole, 10)
        self.assertTrue(rest.endswith(" info last x\n"))

    def test_a_descriptor_that_is_none(self) -> None:
        _, log = self.observer(LogFile(None, -1))
        log.info("lost", "x")


class CountTests(LogTestCase):
    """Lines are counted by their levels, as they are written or lost."""

    def counted(self, observer: LogObserver) -> tuple[dict[tuple[str, ...], float], float]:
        """The lines of each level, and those that were lost."""
        lines, lost = observer.metrics
        assert isinstance(lines, Counter)
        assert isinstance(lost, Counter)
        return lines.values, lost.values[()]

    def test_what_is_written(self) -> None:
        observer, log = self.open("info")
        for _ in range(2):
            log.info("one", "x")
        log.debug("hidden", "x")
        log.warn("two", "x")
        log.failure("three", "x", Failure(ValueError()))
        log.info("four", "{nothing}")
        observer({"log_format": "without a level", "log_time": 0.0})
        found, lost = self.counted(observer)
        self.assertEqual((found[("warn",)], lost), (1, 0))
        self.assertGreaterEqual(found[("info",)], 3)
        self.assertEqual(sum(found.values()), len(re.findall(r"(?m)^[0-9]{4}-", self.path.read_text())))

    def test_what_is_lost(self) -> None:
        file = StingyFile()
        observer = LogObserver(file, STYLES["text"](), "info", lambda: 0.0)
        log = EventLog(Logger("queuey.test", observer=observer))
        file.room = 0
        for _ in range(3):
            log.info("lost", "x")
        self.assertEqual(self.counted(observer), ({}, 3))
        file.room = None
        log.error("found", "x")
        self.assertEqual(self.counted(observer), ({("warn",): 1, ("error",): 1}, 3))

    def test_from_many_threads(self) -> None:
        observer = LogObserver(StingyFile(), STYLES["text"](), "info", lambda: 0.0)
        log = EventLog(Logger("queuey.test", observer=observer))

        def work() -> None:
            for _ in range(500):
                log.info("one", "x")

        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.counted(observer), ({("info",): 2000}, 0))


class PublisherTests(LogTestCase):
    def test_the_publisher_keeps_the_observer(self) -> None:
        """What fails in an observer is logged to the others; here nothing does."""
        others = Events()
        observer, _ = self.open()
        observer.close()
        publisher = LogPublisher(observer, others)
        EventLog(Logger("queuey.test", observer=publisher)).info("one", "x")
        self.assertEqual([event["event"] for event in others.all], ["one"])
