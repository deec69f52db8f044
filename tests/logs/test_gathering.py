"""Access lines by their short way: those of one turn of the reactor are one write, in their place among all others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from queuey.logs import STYLES, AccessLine, EventLog, LogFile, LogObserver, access_logger, open_log
from queuey.logs.styles import Event
from queuey.model.telemetry.counts import Counter
from tests.logs.test_observer import StingyFile
from tests.logs.test_styles import NOW, Line

WORDS = st.text(max_size=12) | st.sampled_from(["q", 'a "b" \\', "x" * 1025, "\u202e\n", "/v1/app/q?a=%22"])


class CountingFile(StingyFile):
    """Counts how often it is written to."""

    writes = 0

    def _put(self, data: bytes) -> int:
        self.writes += 1
        return super()._put(data)


class Turns:
    """A turn of the reactor that ends when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def at_its_end(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def end(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def observer_of(file: LogFile, style: str = "text", level: str = "info") -> tuple[LogObserver, EventLog, Turns]:
    """An observer that gathers, a log of which the lines go to it, and the turns by which it gathers."""
    observer, turns = LogObserver(file, STYLES[style](), level, lambda: NOW), Turns()
    observer.gather(turns.at_its_end)
    return observer, EventLog(Logger("queuey.test", observer=observer)), turns


def shown(file: StingyFile) -> list[str]:
    """The ids of access lines, and the words of others."""
    return [
        line.split("id=")[-1] if "access" in line else line.split(" ")[2] for line in file.written.decode().splitlines()
    ]


class TurnTests(SynchronousTestCase):
    def test_lines_of_a_turn(self) -> None:
        """They are one write, in their order; so are those of the next."""
        file = CountingFile()
        observer, _, turns = observer_of(file)
        for turn in range(2):
            for number in range(3):
                observer.access(Line(f"{turn}-{number}"))
            self.assertEqual((file.writes, len(turns.calls)), (turn, 1))
            turns.end()
        self.assertEqual((file.writes, shown(file)), (2, ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]))

    def test_other_lines(self) -> None:
        """What was gathered comes before a line that came after it, and nothing is written twice."""
        file = StingyFile()
        observer, log, turns = observer_of(file)
        observer.access(Line("one"))
        log.error("odd", "x")
        log.debug("hidden", "x")
        observer.access(Line("two"))
        self.assertEqual(shown(file), ["one", "odd"])
        turns.end()
        turns.end()
        self.assertEqual(shown(file), ["one", "odd", "two"])

    def test_without_turns(self) -> None:
        """If the turn has no end that is announced, each line is written at once."""
        file = StingyFile()
        observer = LogObserver(file, STYLES["text"](), "info", lambda: NOW)
        observer.access(Line("one"))
        self.assertEqual(shown(file), ["one"])

    def test_a_long_turn(self) -> None:
        """What is kept of a turn does not grow for ever."""
        file = CountingFile()
        observer, _, turns = observer_of(file)
        for number in range(2500):
            observer.access(Line(str(number)))
        self.assertEqual((file.writes, len(shown(file))), (2, 2000))
        turns.end()
        self.assertEqual(shown(file), [str(number) for number in range(2500)])

    def test_levels(self) -> None:
        """They are of the level info, and what hides that hides them; what had come before is still written."""
        file = StingyFile()
        observer, _, turns = observer_of(file, level="debug")
        observer.access(Line("one"))
        for level in ("warn", "info", "error"):
            observer.set_level(level)
            observer.access(Line(level))
        turns.end()
        self.assertEqual(shown(file), ["one", "info"])

    def test_another_thread(self) -> None:
        """Its line comes behind those that were gathered; ending the turn then waits until all are written."""
        begun, go_on = Flag(), Flag()

        class SlowFile(StingyFile):
            def _put(self, data: bytes) -> int:
                begun.set()
                go_on.wait(60)
                return super()._put(data)

        file = SlowFile()
        observer, log, turns = observer_of(file)
        observer.access(Line("one"))
        other = Thread(target=log.error, args=("odd", "x"))
        other.start()
        begun.wait(60)
        ended: list[str] = []

        def end() -> None:
            turns.end()
            ended.extend(shown(file))

        ending = Thread(target=end)
        ending.start()
        go_on.set()
        other.join()
        ending.join()
        self.assertEqual((ended[:1], shown(file)), (["one"], ["one", "odd"]))

    def test_what_cannot_be_shown(self) -> None:
        """A defect: said in its place."""
        file = StingyFile()
        observer, _, turns = observer_of(file)
        observer.access(Line("one"))
        observer.access(Line("two", seconds="soon"))  # type: ignore[arg-type]
        observer.access(Line("three"))
        turns.end()
        self.assertEqual(shown(file), ["one", "log-unformattable", "three"])


class StyleTests(SynchronousTestCase):
    """By either way a line is the same."""

    @given(
        st.builds(
            Line,
            request_id=WORDS,
            client=st.sampled_from(["127.0.0.1", "unix", "::1"]),
            method=WORDS,
            path=WORDS,
            status=st.integers(100, 599),
            bytes_in=st.integers(0, 1 << 40),
            bytes_out=st.integers(0, 1 << 40),
            seconds=st.floats(0, 1e6) | st.integers(0, 10),
            application=st.none() | WORDS,
            queue=st.none() | WORDS,
            trace=st.none() | st.just("4bf92f3577b34da6a3ce929d0e0e4736"),
        ),
        st.sampled_from(sorted(STYLES)),
    )
    def test_same_line(self, line: AccessLine, style: str) -> None:
        short, long = StingyFile(), StingyFile()
        observer, _, turns = observer_of(short, style)
        observer.access(line)
        turns.end()
        events: list[Event] = []
        access_logger(events.append, lambda: NOW)(line)
        LogObserver(long, STYLES[style](), "info", lambda: NOW)(events[0])
        self.assertEqual(short.written, long.written)
        self.assertTrue(short.written.endswith(b"\n"))
        self.assertEqual(short.written.count(b"\n"), 1)

    def test_nothing_is_mixed_up(self) -> None:
        """What is kept of one request is not shown for another that differs from it in one thing."""
        line = Line(application=None, queue=None)
        others = [
            attrs.evolve(line, client="other"),
            attrs.evolve(line, method="other"),
            attrs.evolve(line, path="other"),
            attrs.evolve(line, application="other"),
            attrs.evolve(line, queue="other"),
            attrs.evolve(line, trace="other"),
        ]
        for style in STYLES:
            file = StingyFile()
            observer, _, turns = observer_of(file, style)
            for each in (*others, line, *others):
                observer.access(each)
            turns.end()
            found = file.written.decode().splitlines()
            self.assertEqual(found[:6], found[7:])
            self.assertEqual([each.count("other") for each in found[:7]], [1] * 6 + [0])
            self.assertEqual(len(set(found)), 7)


class FileTests(SynchronousTestCase):
    def counted(self, observer: LogObserver) -> tuple[float, float]:
        """The access lines that were written, and all lines that were lost."""
        lines, lost = observer.metrics
        assert isinstance(lines, Counter)
        assert isinstance(lost, Counter)
        return lines.values.get(("info",), 0), lost.values[()]

    def test_a_full_disk(self) -> None:
        """Of a turn that finds room for some of its lines, so many are lost as are not whole in the log."""
        file = StingyFile()
        observer, _, turns = observer_of(file)
        observer.access(Line("measure"))
        turns.end()
        size = len(file.written)
        file.room = 2 * size + size // 2
        for number in range(5):
            observer.access(Line(f"line--{number}"))
        turns.end()
        observer.access(Line("lost"))
        turns.end()
        self.assertEqual(self.counted(observer), (3, 4))
        file.room = None
        observer.access(Line("last"))
        turns.end()
        lines = file.written.decode().splitlines()
        self.assertEqual(len(lines), 6)
        self.assertNotIn("id=", lines[3])
        self.assertTrue(lines[4].endswith("log-lines-lost 4 lines of the log could not be written"))
        self.assertEqual([lines[at].split("id=")[1] for at in (0, 1, 2, 5)], ["measure", "line--0", "line--1", "last"])
        self.assertEqual(self.counted(observer), (4, 4))

    def test_rotation(self) -> None:
        """What was gathered before the file is opened again stands in the old one."""
        path = Path(self.mktemp()).absolute()
        observer, turns = open_log(path, "text", "info", 2, lambda: NOW), Turns()
        self.addCleanup(observer.close)
        observer.gather(turns.at_its_end)
        observer.access(Line("old"))
        moved = path.with_suffix(".1")
        path.rename(moved)
        observer.reopen()
        observer.access(Line("new"))
        turns.end()
        found = [re.findall(r"id=(.*)", each.read_text()) for each in (moved, path)]
        self.assertEqual(found, [["old"], ["new"]])

    def test_the_end(self) -> None:
        """Closing writes what was gathered."""
        path = Path(self.mktemp()).absolute()
        observer = open_log(path, "text", "info", 2, lambda: NOW)
        observer.gather(Turns().at_its_end)
        observer.access(Line("last"))
        observer.close()
        self.assertIn(" id=last\n", path.read_text())

    def test_whole_lines_for_pipes(self) -> None:
        """A pipe gets whole lines at once, since others may write to it between two pieces."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        pieces: list[bytes] = []

        class Spied(LogFile):
            def _put(self, data: bytes) -> int:
                written = super()._put(data)
                pieces.append(data[:written])
                return written

        observer, _, turns = observer_of(Spied(None, writing))
        for number in range(100):
            observer.access(Line(str(number)))
        turns.end()
        self.assertGreater(len(pieces), 3)
        self.assertTrue(all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in pieces))
        self.assertEqual(os.read(reading, 1 << 16), b"".join(pieces))
        self.assertEqual(re.findall(rb"id=(\d+)\n", b"".join(pieces)), [b"%d" % number for number in range(100)])

    def test_a_line_that_is_longer_than_a_piece(self) -> None:
        """It is written all the same."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.assertEqual(LogFile(None, writing).write(b"x" * 9999 + b"\n"), 10000)
        self.assertEqual(os.read(reading, 1 << 16), b"x" * 9999 + b"\n")

    def test_events_of_other_levels_are_counted_as_before(self) -> None:
        file = StingyFile()
        observer, log, turns = observer_of(file)
        observer.access(Line())
        observer.access(Line())
        log.error("odd", "x")
        observer({"log_format": "x", "log_level": LogLevel.warn})
        turns.end()
        lines = observer.metrics[0]
        assert isinstance(lines, Counter)
        self.assertEqual(lines.values, {("info",): 2, ("error",): 1, ("warn",): 1})
