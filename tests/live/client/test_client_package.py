"""The Python client as others get it: its wheel in an empty environment, and the programs of its page."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests import runs_in
from tests.live.api.test_api_guide import LIMIT, program, promised
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.packages.test_wheel import ROOT, client_wheel, empty_environment, run

run_in = "test"

PAGE = ROOT / "docs" / "clients" / "python.rst"
CLIENT = ROOT / "client"

FIRST = """\
import sys
from pathlib import Path
from queuey_client import Client
with Client(sys.argv[1], "queuey", key="f25bfb8fe200475c8a0532a9cbe7651e") as client:
    orders = client.queue("orders")
    orders.ensure()
    orders.post("a pear")
    handled = []
    def handle(delivery):
        handled.append(delivery.text)
        worker.stop(grace=0)
    worker = orders.group("g").worker(handle)
    worker.run()
    print([message.text for message in orders.messages()], handled)
print(sorted({"queuey", "twisted", "aiohttp"} & set(sys.modules)))
"""


class WheelTests(LiveTestCase):
    """The wheel, in an environment that has nothing else."""

    def check(self, python: str, *options: str) -> None:
        """Install it for a Python, and run a program with it."""
        folder, found = client_wheel()
        home = self.folder / "env"
        pip: tuple[str | Path, ...] = (home / "bin" / "python", "-m", "pip")
        if python == sys.executable:
            pip = empty_environment(home)
        else:
            run(python, "-m", "venv", home, folder=folder)
        run(*pip, "install", "--quiet", "--no-compile", *options, found, folder=folder)
        self.serve()
        done = run(home / "bin" / "python", "-c", FIRST, f"http://127.0.0.1:{self.port}", folder=self.folder)
        self.assertEqual(done.stdout.splitlines(), ["['a pear'] ['a pear']", "[]"])

    def test_first_program(self) -> None:
        """It needs urllib3 and nothing of the daemon."""
        self.check(sys.executable, "-c", str(ROOT / "constraints.txt"))

    def test_command(self) -> None:
        """With the extra ``cli`` it has the command, which says what is missing without it, and without the daemon."""
        folder, found = client_wheel()
        home = self.folder / "env"
        install = (*empty_environment(home), "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
        run(*install, found, folder=folder)
        bare = subprocess.run([home / "bin" / "queuey"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((bare.returncode, bare.stdout), (1, ""))
        self.assertIn("pip install 'queuey-client[cli]'", bare.stderr)
        run(*install, f"{found}[cli]", folder=folder)
        self.serve()
        environment = {"QUEUEY_URL": f"http://127.0.0.1:{self.port}", "QUEUEY_APPLICATION": "queuey", "QUEUEY_KEY": KEY}
        for command, printed in (
            (("post", "orders", "a pear", "--create"), r"[0-9a-f]{32}-1\n"),
            (("read", "orders", "--raw"), "a pear\n"),
            (("--help",), "pip install queuey adds: check.*backup"),
        ):
            done = run(home / "bin" / "queuey", *command, folder=self.folder, **environment)
            self.assertRegex(done.stdout, f"(?s){printed}")

    @runs_in("test-long")
    def test_python_3_9(self) -> None:
        """The oldest Python that it is for."""
        found = subprocess.run(["sh", ROOT / "tests" / "pythons.sh", "3.9"], capture_output=True, text=True)
        if found.returncode:
            raise SkipTest("no Python 3.9 here that can make a virtual environment")
        self.check(found.stdout.strip())

    def test_holds_what_is_ours_and_no_more(self) -> None:
        """All modules, and that it has types."""
        names = set(zipfile.ZipFile(client_wheel()[1]).namelist())
        modules = {str(path.relative_to(CLIENT)) for path in (CLIENT / "queuey_client").rglob("*.py")}
        self.assertEqual({name for name in names if name.endswith(".py")}, modules)
        self.assertIn("queuey_client/py.typed", names)


class PageTests(LiveTestCase):
    """What the page shows works, and prints what is said."""

    def check(self, language: str, at_least: int) -> None:
        """Run the program of a language."""
        source = program(PAGE.read_text(encoding="utf-8"), language).replace("5000", str(self.port))
        self.assertGreaterEqual(len(promised(source)), at_least)
        self.serve()
        command = (sys.executable, "-W", "error::ResourceWarning", "-c", source)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.stdout.splitlines(), done.returncode), (promised(source), 0), done.stderr)

    def test_threads_and_asyncio(self) -> None:
        """One program, from the first lines to the last."""
        self.check("python", 12)

    def test_twisted(self) -> None:
        """A program of its own, since it has the reactor."""
        self.check("python3", 1)


class DocumentedTests(SynchronousTestCase):
    """The page names what there is."""

    def test_errors(self) -> None:
        """Its table has every error that is exported."""
        import queuey_client

        text = PAGE.read_text(encoding="utf-8")
        errors = [
            name
            for name in queuey_client.__all__
            if isinstance(getattr(queuey_client, name), type)
            and issubclass(getattr(queuey_client, name), queuey_client.QueueyError)
        ]
        self.assertGreater(len(errors), 9)
        self.assertEqual([name for name in errors if f"``{name}``" not in text], [])
