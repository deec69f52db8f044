"""What the command line gives in place of settings, and the operators' socket beside the data."""

from __future__ import annotations

from pathlib import Path

from queuey.config import Overrides, SQLiteStorage, development, load, needs_restart, with_reloadable
from queuey.config.kinds.endpoints import MAX_UNIX_PATH
from queuey.errors import ConfigurationError
from tests.config.support import APPLICATION, SettingsTestCase

BASE = Path("/here")


class OverridesTests(SettingsTestCase):
    def test_in_place_of_a_file(self) -> None:
        """What is not given stays as the file has it; relative paths count from the folder of the command."""
        self.load(f"[server]\nhttp = tcp:1\nops = off\nmax_body = 5\n[storage]\npath = d\n{APPLICATION}")
        plain = load(self.file, Overrides(BASE))
        self.assertEqual((plain.server.http, plain.server.ops.listen), (("tcp:1",), ()))
        self.assertEqual(plain.storage, SQLiteStorage(self.folder / "d", "full", 16 << 20))
        given = Overrides(BASE, "tcp:2\nunix:q.sock", "data", "unix:ops.sock")
        settings = load(self.file, given)
        self.assertEqual(settings.server.http, ("tcp:2", "unix:/here/q.sock"))
        self.assertEqual(settings.storage, SQLiteStorage(BASE / "data", "full", 16 << 20))
        self.assertEqual(settings.server.ops.listen, ("unix:/here/ops.sock:mode=600",))
        self.assertEqual(settings.server.max_body, 5)
        self.assertEqual(settings.overrides, given)

    def test_in_place_of_the_built_in_settings(self) -> None:
        settings = development(Path("/there"), Overrides(BASE, "tcp:5100:interface=127.0.0.1", "data"))
        self.assertEqual(settings.server.http, ("tcp:5100:interface=127.0.0.1",))
        self.assertEqual(settings.server.ops.listen, ("unix:/here/data/queuey-ops.sock:mode=600",))
        self.assertEqual(development(Path("/there"), Overrides(BASE, ops="off")).server.ops.listen, ())

    def test_in_place_of_the_first_versions_endpoint(self) -> None:
        self.load(f"[server:main]\nhost = 127.0.0.1\nport = 5000\n{APPLICATION}")
        self.assertEqual(load(self.file, Overrides(BASE, "tcp:2")).server.http, ("tcp:2",))

    def test_no_restart_for_them(self) -> None:
        """A reload with the same command line changes neither ports nor data."""
        given = Overrides(BASE, "tcp:2", "data")
        self.load(APPLICATION)
        before = load(self.file, given)
        self.load(f"[server]\nmax_body = 5\n[storage]\npath = elsewhere\n{APPLICATION}")
        after = load(self.file, given)
        self.assertEqual(needs_restart(before, after), ())
        self.assertEqual(with_reloadable(before, after).server.ops, before.server.ops)

    def test_mistakes(self) -> None:
        """Each is one of the command line, and stands beside those of the file."""
        self.file.write_text("[server]\nmax_body = x\n")
        wrong = Overrides(BASE, "5100\ntcp:x", "", "ftp:1")
        lines = self.assertRaises(ConfigurationError, load, self.file, wrong).problems
        own = [line.removeprefix("command line: ").partition(";")[0] for line in lines if "command line" in line]
        self.assertEqual(
            own,
            [
                "--http: '5100' is not a kind of endpoint",
                "--http: 'x' is no port: 0 to 65535",
                "--ops: 'ftp' is not a kind of endpoint",
                "--data: names no folder",
            ],
        )
        self.assertEqual(len(lines), 5)
        lines = self.assertRaises(ConfigurationError, development, BASE, Overrides(BASE, "", ops="")).problems
        self.assertEqual([line.partition(";")[0] for line in lines if "names no endpoint" in line], [
            "command line: --http: names no endpoint", "command line: --ops: names no endpoint",
        ])  # fmt: skip

    def test_an_open_port_for_operators(self) -> None:
        """It needs a token, as in a file."""
        lines = self.assertRaises(ConfigurationError, development, BASE, Overrides(BASE, ops="tcp:5001")).problems
        self.assertIn("needs an ops_token", lines[0])

    def test_data_without_a_folder(self) -> None:
        for backend in ("memory", "cassandra", "queuey.storage.cassandra.CassandraQueueBackend"):
            self.file.write_text(f"[storage]\nbackend = {backend}\n{APPLICATION}")
            (line,) = self.assertRaises(ConfigurationError, load, self.file, Overrides(BASE, data="d")).problems
            self.assertEqual(
                line, f"command line: --data: is of no use with backend = {backend}, whose data are not in a folder"
            )


class OperatorsSocketTests(SettingsTestCase):
    def ops(self, text: str) -> tuple[bool, tuple[str, ...]]:
        """Whether the port is automatic, and what it is."""
        ops = self.load(text + APPLICATION).server.ops
        return ops.automatic, ops.listen

    def test_beside_the_data(self) -> None:
        """Without a setting, with an empty one, and by its name."""
        found = (True, ("unix:/d/queuey-ops.sock:mode=600",))
        for ops in ("", "[server]\nops =\n", "[server]\nops = auto\n"):
            self.assertEqual(self.ops(f"{ops}[storage]\npath = /d\n"), found)
        self.assertEqual(self.ops("[storage]\npath = /a:b\n")[1], ("unix:/a\\:b/queuey-ops.sock:mode=600",))

    def test_off_and_named(self) -> None:
        self.assertEqual(self.ops("[server]\nops = off\n"), (False, ()))
        self.assertEqual(self.ops("[server]\nops = unix:/o\n"), (False, ("unix:/o:mode=600",)))

    def test_no_folder_of_data(self) -> None:
        for backend in ("memory", "cassandra"):
            self.assertEqual(self.ops(f"[storage]\nbackend = {backend}\n"), (True, ()))

    def test_a_token_and_workers_need_no_more(self) -> None:
        """Settings that were right before there was such a socket are right now."""
        token = "ops_token = 0123456789abcdef\n"
        self.assertTrue(self.ops(f"[server]\nworkers = 2\n{token}[storage]\npath = /d\n")[0])

    def test_a_path_that_is_too_long(self) -> None:
        """A warning that says what to do: a daemon that has served so far goes on."""
        longest = MAX_UNIX_PATH - len("//queuey-ops.sock")
        for length, listens in ((longest, True), (longest + 1, False)):
            settings = self.load(f"[storage]\npath = /{'x' * length}\n{APPLICATION}")
            self.assertEqual(bool(settings.server.ops.listen), listens)
            self.assertEqual(len(settings.warnings), not listens)
        (warning,) = self.warned(settings)
        self.assertIn("has 108 bytes, and 107 are allowed; name a shorter one, such as ops = unix:/run/", warning)

    def test_described(self) -> None:
        """The settings in force can be read again as they are."""
        for text, line in (("", "ops = auto"), ("[server]\nops = off\n", "ops = off")):
            settings = self.load(text + APPLICATION)
            self.assertIn(line, settings.describe())
            again = self.load("\n".join(settings.describe()))
            self.assertEqual(again.server, settings.server)
