"""The syntax of settings files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from queuey.config import load
from queuey.config.mistakes import Report
from queuey.config.reading import MAX_FILE, Section, parse
from queuey.errors import ConfigurationError
from tests.config.support import APPLICATION, SettingsTestCase


class SyntaxTests(SettingsTestCase):
    def sections(self, text: str) -> dict[str, dict[str, str]]:
        report = Report("f")
        found = parse(text, report, lambda name: name == "old")
        self.assertEqual(report.problems, [])
        return {name: section.values for name, section in found.items()}

    def wrong(self, text: str) -> list[str]:
        report = Report("f")
        parse(text, report, lambda name: name == "old")
        return report.problems

    def test_names_and_values(self) -> None:
        text = "[a]\nKey = v = w ; no comment # none\nb=%(c)s $d\n\n[ c d ]\nx =\n"
        self.assertEqual(
            self.sections(text),
            {"a": {"Key": "v = w ; no comment # none", "b": "%(c)s $d"}, "c d": {"x": ""}},
        )

    def test_values_go_on(self) -> None:
        text = "[a]\nk = one\n  two\n\n\tthree\n# comment\n   ; comment\n    [four]\nl =\n  five = 5\n"
        self.assertEqual(self.sections(text), {"a": {"k": "one\ntwo\nthree\n[four]", "l": "five = 5"}})

    def test_indented_sections(self) -> None:
        self.assertEqual(self.sections("  [a]\n  k = 1\n  l = 2\n    3\n"), {"a": {"k": "1", "l": "2\n3"}})

    def test_ends_of_lines(self) -> None:
        self.assertEqual(self.sections("[a]\r\nk = 1\r\n  2\r\n"), {"a": {"k": "1\n2"}})

    def test_passed_over_sections_may_hold_anything(self) -> None:
        text = "[old]\nwhat\nx = 1\nx = 2\n  \x01\n[old]\ny: 3\n[a]\nk = 1\n"
        self.assertEqual(self.sections(text), {"old": {}, "a": {"k": "1"}})

    def test_mistakes(self) -> None:
        for text, line in (
            ("k = 1\n", "f: line 1: stands before the first section"),
            ("[a]\nhost: x\n", "f: line 2: is neither a section, nor a comment, nor name = value"),
            ("[a]\n= x\n", "f: line 2: is neither a section, nor a comment, nor name = value"),
            ("[a]\n\xa0\n", "f: line 2: is neither a section, nor a comment, nor name = value"),
            ("[a\n", "f: line 1: is no section: one is written [name], alone on its line"),
            ("[a] b\n", "f: line 1: is no section: one is written [name], alone on its line"),
            ("[]\n", "f: line 1: is no section: one is written [name], alone on its line"),
            ("[a\x00]\n", "f: line 1: is no section: one is written [name], alone on its line"),
            ("[a]\nk = \x1b[0m\n", "f: line 2: has a control character"),
            ("[a]\nk = 1\r2\n", "f: line 2: has a control character"),
            ("[a]\nk = 1\n  \x002\n", "f: line 3: has a control character"),
            ("[a]\nk = 1\n[b]\n[a]\nl = 1\n", "f: [a]: stands twice, on lines 1 and 4"),
            ("[a]\nk = 1\nl = 1\nk = 2\n  3\n", "f: [a] k: stands twice, on lines 2 and 4"),
        ):
            self.assertEqual(self.wrong(text), [line], text)

    def test_all_mistakes_at_once(self) -> None:
        self.assertEqual(len(self.wrong("k = 1\n[a]\nwhat\n  more\n[b\nk=1\nk=1\n")), 4)

    def test_a_key_that_stands_twice_in_a_section_that_stands_twice(self) -> None:
        wrong = self.wrong("[a]\nk = 1\n[a]\nk = 2\n")
        self.assertEqual(wrong, ["f: [a]: stands twice, on lines 1 and 3", "f: [a] k: stands twice, on lines 2 and 4"])

    def test_lines_are_remembered(self) -> None:
        found = parse("\n[a]\n\nk = 1\n", Report("f"), lambda name: False)
        self.assertEqual(found, {"a": Section(2, {"k": "1"}, {"k": 4})})


class FileTests(SettingsTestCase):
    def refused(self, path: Path) -> tuple[str, ...]:
        error: ConfigurationError = self.assertRaises(ConfigurationError, load, path)
        return error.problems

    def test_missing(self) -> None:
        path = self.folder / "none.ini"
        self.assertEqual(self.refused(path), (f"{path}: cannot be read: No such file or directory",))

    def test_folder(self) -> None:
        self.assertEqual(self.refused(self.folder), (f"{self.folder}: cannot be read: Is a directory",))

    def test_unreadable(self) -> None:
        self.file.symlink_to(self.file)
        reason = os.strerror(errno.ELOOP)
        self.assertEqual(self.refused(self.file), (f"{self.file}: cannot be read: {reason}",))

    def test_nul_in_the_name(self) -> None:
        self.assertEqual(self.refused(Path("/a\0b")), ("'/a\\x00b': cannot be read: embedded null byte",))

    def test_not_utf_8(self) -> None:
        self.assertEqual(self.problems(b"[server]\n\n# \xff\n"), ["line 3: is not UTF-8"])

    def test_without_end(self) -> None:
        self.assertEqual(
            self.refused(Path("/dev/zero")), ("/dev/zero: is longer than 16 MiB, too long for a settings file",)
        )
        self.assertEqual(MAX_FILE, 16 << 20)

    def test_byte_order_mark(self) -> None:
        self.assertEqual(self.load(b"\xef\xbb\xbf" + APPLICATION.encode()).warnings, ())

    def test_a_name_that_would_spoil_the_line(self) -> None:
        path = self.folder / "a\nb.ini"
        path.write_text("x")
        (line,) = self.refused(path)
        self.assertNotIn("\n", line)
        self.assertIn("a\\nb.ini", line)
