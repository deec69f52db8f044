"""The ``queuey`` command, without a process."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey import __version__
from queuey.cli import main
from queuey.cli.samples import SAMPLES
from queuey.config import DEVELOPMENT_KEY, load
from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import aws_key
from tests.contracts.subject import Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import fill, open_store

ETC = Path(__file__).parents[2] / "etc"
NOT_SAMPLES = ("cassandra/", "container/", "debian/", "sqs/")
"""What of etc/ is for building and measuring, and not for a machine that Queuey is installed on."""


def run(*argv: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    stdout, stderr = StringIO(), StringIO()
    return main(argv, stdout, stderr), stdout.getvalue(), stderr.getvalue()


class CheckTests(SynchronousTestCase):
    def file(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_right(self) -> None:
        path = self.file(f"[server]\nops = off\n[application_keys]\nqueuey = {DEVELOPMENT_KEY}\n")
        status, out, err = run("check", "--settings-only", str(path))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines(), load(path).describe())
        self.assertNotIn(DEVELOPMENT_KEY, out)

    def test_warnings(self) -> None:
        path = self.file("[server]\nops = off\n")
        status, out, err = run("check", "--settings-only", str(path))
        self.assertEqual(status, 0)
        self.assertEqual(
            err,
            f"warning: {path}: [application_keys]: names no application, so only applications of the store can use the "
            "daemon\n",
        )
        self.assertTrue(out)

    def test_wrong(self) -> None:
        path = self.file("[server]\nmax_body = x\n[foo]\n")
        status, out, err = run("check", "--settings-only", str(path))
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertTrue(line.startswith(f"{path}: ["), line)

    def test_options_of_the_daemon(self) -> None:
        """The settings are those of a daemon with the same options."""
        path = self.file("[server]\nhttp = tcp:1\nops = off\n[storage]\npath = d\n[application_keys]\napp = 12345678\n")
        options = ("--http", "tcp:5100", "--http", "tcp6:5100", "--data", "/d", "--ops", "auto")
        status, out, err = run("check", "--settings-only", *options, str(path))
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        for line in ("    tcp:5100", "    tcp6:5100", "path = /d", "ops = auto"):
            self.assertIn(line, lines)
        status, out, err = run("check", "--http", "5100", str(path))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("command line: --http: '5100' is not a kind of endpoint", err)

    def test_missing(self) -> None:
        self.assertEqual(
            run("check", "nowhere.ini"), (1, "", "nowhere.ini: cannot be read: No such file or directory\n")
        )


class SamplesTests(SynchronousTestCase):
    def test_all_of_etc(self) -> None:
        """There is an option for each file that is for operators, and each has a line that says where it belongs."""
        etc = {str(path.relative_to(ETC)) for path in ETC.rglob("*") if path.is_file()}
        self.assertEqual({one for one in etc if not one.startswith(NOT_SAMPLES)}, {one.file for one in SAMPLES})
        status, out, err = run("config", "--list")
        self.assertEqual((status, err, len(out.splitlines())), (0, "", len(SAMPLES)))
        for sample, line in zip(SAMPLES, out.splitlines(), strict=True):
            self.assertTrue(line.startswith(f"--{sample.option}  "[: 2 + len(sample.option)] if sample.option else " "))
            self.assertTrue(line.endswith(sample.goes_to or sample.what), line)

    def test_printed(self) -> None:
        self.assertEqual(run("config"), (0, (ETC / "queuey.ini").read_text(), ""))
        self.assertEqual(run("config", "--alerts"), (0, (ETC / "prometheus" / "queuey.rules.yml").read_text(), ""))
        self.assertIn(f"ExecStart={sys.prefix}/bin/twistd ", run("config", "--systemd")[1])
        self.assertIn("\npath = queuey-data\n", run("config", "--development")[1])
        self.assertIn("\nops = unix:queuey-ops.sock\n", run("config", "--cassandra")[1])
        self.assertEqual(run("config", "--systemd", "--nginx")[0], 2)
        for sample in SAMPLES:
            option = [f"--{sample.option}"] if sample.option else []
            self.assertEqual(run("config", *option), (0, sample.text(), ""))


class KeysTests(SynchronousTestCase):
    def test_new(self) -> None:
        status, out, err = run("keys", "new", "app")
        self.assertEqual(status, 0)
        key, line = out.splitlines()
        self.assertRegex(err, r"\Athe key, for the programs of app.*:\nthe line for \[application_keys\].*:\n\Z")
        self.assertRegex(key, r"\A[A-Za-z0-9_-]{43}\Z")
        self.assertEqual(line, f"app = sha256:{hashlib.sha256(key.encode()).hexdigest()}")

    def test_into_a_file(self) -> None:
        """The key is in a file of this user alone; the output can be appended to settings."""
        file = Path(self.mktemp())
        status, out, err = run("keys", "new", "--key-file", str(file), "app")
        key = file.read_text().removesuffix("\n")
        self.assertEqual((status, out), (0, f"app = sha256:{hashlib.sha256(key.encode()).hexdigest()}\n"))
        self.assertNotIn(key, out + err)
        self.assertIn(str(file), err)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        refused = run("keys", "new", "--key-file", str(file), "app")
        self.assertEqual(refused, (1, "", f"{file}: cannot be written: File exists\n"))
        self.assertEqual(file.read_text(), f"{key}\n")

    def test_the_line_lets_the_key_in(self) -> None:
        _, out, _ = run("keys", "new", "app")
        key, line = out.splitlines()
        path = Path(self.mktemp())
        path.write_text(f"[application_keys]\n{line}\n")
        (application,) = load(path).applications
        self.assertEqual(application.digests, {hashlib.sha256(key.encode()).digest()})

    def test_without_a_name(self) -> None:
        self.assertRegex(run("keys", "new")[1], r"\A\S+\nNAME = sha256:[0-9a-f]{64}\n\Z")

    def test_each_is_another(self) -> None:
        self.assertNotEqual(run("keys", "new")[1], run("keys", "new")[1])

    def test_credentials_for_sqs(self) -> None:
        """They are printed as lines of a shell, and are those that the daemon makes of the digest."""
        file = Path(self.mktemp())
        file.write_text("the-key-of-app\n")
        pair = aws_key(digest_of("the-key-of-app"))
        lines = f"export AWS_ACCESS_KEY_ID={pair.id}\nexport AWS_SECRET_ACCESS_KEY={pair.secret}\n"
        self.assertEqual(run("keys", "aws", str(file)), (0, lines, ""))
        file.write_text("")
        self.assertEqual(run("keys", "aws", str(file))[0], 1)

    def test_a_name_that_is_none(self) -> None:
        status, out, err = run("keys", "new", "a/b")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\ANAME: an application's name is [^\n]+\n\Z")


class BackupTests(SynchronousTestCase):
    """What the commands about backups find in the settings and in files; tests/storage has the copying itself."""

    def setUp(self) -> None:
        self.folder = quick_directory(self)
        self.target = self.folder / "target"
        self.fill(self.folder / "data")

    def fill(self, directory: Path) -> None:
        store = open_store(directory, Wall())
        fill(store)
        self.successResultOf(store.close())

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def refused(self, *argv: str | Path) -> str:
        """The one line of a command that fails."""
        status, out, err = run(*map(str, argv))
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\A[^\n]+\n\Z")
        self.assertFalse(self.target.exists())
        return err

    def made(self, *argv: str | Path) -> str:
        status, out, err = run("backup", *map(str, argv), str(self.target))
        self.assertEqual((status, err), (0, ""))
        self.assertTrue((self.target / "queuey.sqlite").is_file())
        return out

    def test_data(self) -> None:
        size = r"\d+ bytes, 5 messages in 2 queues, stable time 2023-11-14T22:13:20.0000005Z"
        self.assertRegex(self.made("--data", self.folder / "data"), rf"\A{self.target}: {size}\n\Z")

    def test_settings(self) -> None:
        self.made("--config", self.file("queuey.ini", "[storage]\npath = data\n"))

    def test_built_in_settings(self) -> None:
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        Path("data").rename("queuey-data")
        self.made()

    def test_folders_above(self) -> None:
        """The folders that the backup is to be in are made, and removed again if there is no backup."""
        deep = self.folder / "bk" / "2026"
        self.refused("backup", "--data", self.folder, deep / "monday")
        self.assertFalse(deep.parent.exists())
        status, _, err = run("backup", "--data", str(self.folder / "data"), str(deep / "monday"))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual([each.name for each in deep.iterdir()], ["monday"])
        self.assertEqual(deep.parent.stat().st_mode & 0o777, 0o700)
        (self.folder / "data" / "queuey.sqlite").write_bytes(b"x" * 9000)
        self.refused("backup", "--data", self.folder / "data", deep.with_name("2027") / "monday")
        self.assertFalse(deep.with_name("2027").exists())

    def test_nothing_yet(self) -> None:
        self.successResultOf(open_store(self.folder / "new", Wall()).close())
        self.assertIn(" 0 messages in 0 queues, stable time none yet", self.made("--data", self.folder / "new"))

    def test_refused(self) -> None:
        self.assertIn("is no store of Queuey", self.refused("backup", "--data", self.folder, self.target))
        self.assertIn("cannot be read", self.refused("backup", "--config", self.folder / "no.ini", self.target))
        memory = self.file("memory.ini", "[storage]\nbackend = memory\n")
        self.assertIn("[storage] backend: ", self.refused("backup", "--config", memory, self.target))

    def restore(self, to: str = "http://127.0.0.1:9", key: str = "key", queue: str = "gone") -> str:
        file = self.file("key", key)
        return self.refused("restore-queue", self.folder / "data", "app", queue, "--to", to, "--key-file", file)

    def test_restoring_refused(self) -> None:
        self.assertEqual(self.restore(), 'The backup has no queue "gone" of the application "app".\n')
        for url in ("", "127.0.0.1:5000", "ftp://x", "http://", "http://x:99999999", "http://[x", "http://x/?a=b"):
            self.assertIn("is no URL of a daemon", self.restore(to=url))
        for key in ("", " \n", "two keys", "one\ntwo"):
            self.assertIn("must contain exactly one key", self.restore(key=key))
        (self.folder / "key").unlink()
        arguments = ("restore-queue", self.folder / "data", "app", "q", "--to", "https://x", "--key-file")
        self.assertIn("No such file", self.refused(*arguments, self.folder / "key"))
        (self.folder / "key").write_bytes(b"\xff")
        self.assertIn("it is not UTF-8 text", self.refused(*arguments, self.folder / "key"))


class UsageTests(SynchronousTestCase):
    def test_version(self) -> None:
        self.assertEqual(run("--version"), (0, f"queuey {__version__}\n", ""))

    def test_help(self) -> None:
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        for word in ("check", "backup", "restore-queue", "keys", "--version", "twistd queuey"):
            self.assertIn(word, out)

    def test_no_arguments(self) -> None:
        """The help, and the status of a command that was typed wrongly."""
        self.assertEqual(run(), (2, "", run("--help")[1]))

    def test_wrong_arguments(self) -> None:
        wrong: list[tuple[str, ...]] = [
            ("what",), ("check",), ("keys",), ("check", "a", "b"), ("--vers",), ("backup",),
            ("backup", "--data", "a", "--config", "b", "c"), ("backup", "--dat", "a", "b"),
            ("restore-queue", "a", "b", "c"), ("restore-queue", "a", "b", "c", "--to", "d"),
        ]  # fmt: skip
        for argv in wrong:
            status, out, err = run(*argv)
            self.assertEqual((status, out), (2, ""), argv)
            self.assertTrue(re.match(r"usage: queuey", err), argv)


class SchemaTests(SynchronousTestCase):
    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def test_printed(self) -> None:
        status, out, err = run("schema")
        self.assertEqual((status, err), (0, ""))
        self.assertIn(
            "CREATE KEYSPACE IF NOT EXISTS queuey WITH replication = {'class': 'NetworkTopologyStrategy', ", out
        )
        text = (
            "[storage]\nbackend = cassandra\ndatabase = Mine\nreplication = a:3, b:2\npassword = hush\nusername = me\n"
        )
        status, out, err = run("schema", "--config", self.file(text))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("CREATE KEYSPACE IF NOT EXISTS mine WITH replication = {", out)
        self.assertIn("'a': 3, 'b': 2}", out)
        self.assertNotIn(" queuey.q", out)
        self.assertNotIn("hush", out)

    def test_another_backend(self) -> None:
        path = self.file("[storage]\nbackend = memory\n")
        self.assertEqual(
            run("schema", "--config", path),
            (1, "", f"{path}: [storage] backend: only cassandra has tables that are made by hand\n"),
        )

    def test_a_cluster_is_not_backed_up_so(self) -> None:
        path = self.file("[storage]\nbackend = cassandra\n")
        status, out, err = run("backup", "--config", path, self.mktemp())
        self.assertEqual((status, out), (1, ""))
        self.assertIn("[storage] backend: a cluster has snapshots of its own", err)
