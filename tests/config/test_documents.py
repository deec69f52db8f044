"""The samples in etc/ and the documentation name every setting, with the defaults that the code has."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import CassandraStorage, SQLiteStorage, development, keys, load

MAX_BYTES = keys.STORAGE["memory"][1]
ROOT = Path(__file__).parents[2]
SAMPLES = [ROOT / "etc" / name for name in ("queuey-dev.ini", "queuey.ini")]
Row = tuple[str, str, str, str, str]


def uncommented(text: str) -> str:
    """A sample with the defaults that it shows in comments in force."""
    return re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE)


def rows(text: str) -> list[Row]:
    """Section, key, default, allowed and change of every row of the tables of a page."""
    found = []
    section = ""
    pattern = r"^(\[[^\n]+\])\n-+$|^   \* - ``(\w+)``\n     - (.*)\n     - (.*)\n     - (.*)$"
    for title, *cells in re.findall(pattern, text, re.MULTILINE):
        if title:
            section = title.strip("[]")
        else:
            name, default, allowed, change = (cell.strip("`").replace("\\", "") for cell in cells)
            found.append((section, name, default.replace("none", ""), allowed, change))
    return found


class SampleTests(SynchronousTestCase):
    def test_both_load(self) -> None:
        dev, production = map(load, SAMPLES)
        self.assertEqual(dev.warnings, ())
        expected = development(ROOT)
        self.assertEqual(attrs.evolve(dev, source=None), expected)
        self.assertEqual(production.applications, ())
        self.assertEqual(production.storage, SQLiteStorage(Path("/var/lib/queuey"), "full", 16 << 20))

    def test_the_one_for_cassandra_loads(self) -> None:
        sample = ROOT / "etc" / "queuey-cassandra.ini"
        settings = load(sample)
        self.assertIsInstance(settings.storage, CassandraStorage)
        # It names a socket beside it, whose path must not be long.
        with TemporaryDirectory() as folder:
            changed = Path(folder) / "q.ini"
            changed.write_text(uncommented(sample.read_text()))
            self.assertEqual(load(changed).storage, settings.storage)

    def test_every_key_is_there(self) -> None:
        for sample in SAMPLES:
            text = sample.read_text()
            for key in keys.TABLE:
                if key.name == "NAME":
                    continue
                self.assertRegex(text, rf"(?m)^#? ?{key.name} =", sample)

    def test_the_defaults_in_comments_are_the_defaults(self) -> None:
        for sample in SAMPLES:
            text = sample.read_text()
            folder = Path(self.mktemp())
            folder.mkdir()
            changed = folder / "q.ini"
            changed.write_text(uncommented(text))
            found, original = load(changed), load(sample)
            # The operators' socket is beside the data, which are beside the file.
            ops = attrs.evolve(original.server.ops, socket=found.server.ops.socket)
            self.assertEqual(found.server, attrs.evolve(original.server, ops=ops))
            self.assertEqual(found.logging, original.logging)
            names = dict(re.findall(r"^#([a-z_]+) =(?: (.*))?$", text, re.MULTILINE))
            for key in keys.TABLE:
                if key in keys.STORAGE["cassandra"][1:]:
                    self.assertRegex(text, rf"(?m)^# {key.name} = ?{re.escape(key.default)}$")
                elif key.name in names and key.name != "max_body" and key is not MAX_BYTES:
                    self.assertIn(names[key.name], (key.default, ""), (sample, key))
            self.assertIn(f"# max_bytes = {MAX_BYTES.default}\n", text)

    def test_all_kinds_of_endpoints(self) -> None:
        for sample in SAMPLES:
            for kind in ("tcp", "tcp6", "ssl", "unix", "systemd"):
                self.assertRegex(sample.read_text(), rf"(?m)[ #]{kind}:", sample)


class DocumentationTests(SynchronousTestCase):
    def test_every_key_as_the_code_has_it(self) -> None:
        documented = rows((ROOT / "docs" / "configuration.rst").read_text())
        coded = [(key.section, key.name, key.default, key.allowed, key.change) for key in keys.TABLE]
        self.assertEqual(sorted(documented), sorted(coded))
