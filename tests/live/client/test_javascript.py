"""The JavaScript client in Node.js and in Chromium: its own tests, faults, its package, and its page's programs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import textwrap
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from queuey import __version__
from queuey_client import Client
from tests import runs_in
from tests.histories.proxy import Proxy
from tests.live.api.test_api_guide import program, promised
from tests.live.browser.driver import needed_chromium, serving, visit
from tests.live.client.test_client_faces import Program
from tests.live.clients import KEY
from tests.live.command.commanding import endpoint
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.failures.faults import LONG, FaultTestCase
from tests.live.running import Daemon, free_port, write_settings

run_in = "test"

ROOT: Final = Path(__file__).parents[3]
PACKAGE: Final = ROOT / "client" / "js"
PAGE: Final = ROOT / "docs" / "clients" / "javascript.rst"
OLDEST: Final = 20
"""The oldest Node.js that the client is for."""

LIMIT: Final = 240.0
POSTED = 10_000 if LONG else 1_000
KILLS = 10 if LONG else 2
LEASE: Final = 2.0
"""Seconds of the leases of ``client/js/test/live/program.js``."""


REPORT: Final = """
<script type="module">
const lines = () => [...document.querySelectorAll("li")].map((line) => line.textContent);
while (!lines().length) await new Promise((done) => setTimeout(done, 50));
await fetch("/result", { method: "POST", body: JSON.stringify(lines()) });
</script>
"""
"""Posts what a page shows, once it shows something."""


def needed_node() -> str:
    """Where Node.js is. :raise SkipTest: if there is none, or an older one."""
    node = shutil.which("node")
    if node is None:
        raise SkipTest("there is no Node.js here, which the JavaScript client is tested with")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST:
        raise SkipTest(f"the JavaScript client needs Node.js {OLDEST} or later; this one is {version.strip()}")
    return node


def needed_tools() -> Path:
    """Where the compiler of TypeScript and the formatter are.

    :raise SkipTest: if npm, which installs them, is missing.
    :raise AssertionError: if they could be installed.
    """
    needed_node()
    if shutil.which("npm") is None:
        raise SkipTest("there is no npm here, which installs the compiler of TypeScript")
    tools = PACKAGE / "node_modules" / ".bin"
    if not (tools / "tsc").exists():
        raise AssertionError("this machine has npm, and TypeScript is not there: make javascript")
    return tools


class NodeTestCase(FaultTestCase):
    """Runs programs in Node.js."""

    def setUp(self) -> None:
        super().setUp()
        self.node = needed_node()

    def run_node(self, *arguments: str | Path, cwd: Path | None = None, **environment: str) -> str:
        """Run Node.js to its end. :return: what it has printed."""
        command = [self.node, *map(str, arguments)]
        variables = {"PATH": str(Path(self.node).parent), "TMPDIR": str(self.folder), **environment}
        done = subprocess.run(
            command, cwd=cwd or self.folder, capture_output=True, text=True, timeout=LIMIT, env=variables
        )
        self.assertEqual(done.returncode, 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
        return done.stdout

    def run_tests(self, *files: Path, **environment: str) -> int:
        """Run tests of the client. :return: how many have passed."""
        output = self.run_node("--test", "--test-reporter=tap", *files, cwd=PACKAGE, **environment)
        found = re.search(r"(?m)^# pass (\d+)$", output)
        assert found is not None, output
        return int(found[1])

    def client(self) -> Client:
        """A client of the daemon itself."""
        client = Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)
        self.addCleanup(client.close)
        return client


class ModuleTests(NodeTestCase):
    """The tests of ``client/js/test``."""

    def test_rules(self) -> None:
        """Retries, keys, readers, leases: with a server that is a list of answers."""
        files = sorted((PACKAGE / "test" / "unit").glob("*.test.js"))
        files = [file for file in files if file.name != "types.test.js"]
        self.assertGreater(self.run_tests(*files), 40)

    def test_calls_and_workers(self) -> None:
        """Each call, signed URLs and workers, before a daemon."""
        self.add_settings(
            "[application:queuey]\nsigned_urls = true\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {endpoint()}\n"
        )
        daemon = self.serve()
        urls = {"QUEUEY_URL": f"http://127.0.0.1:{self.port}", "QUEUEY_ENDPOINT": f"http://127.0.0.1:{endpoint()}/"}
        self.assertGreater(self.run_tests(PACKAGE / "test" / "live" / "calls.test.js", **urls), 10)
        self.stop(daemon)

    def test_types(self) -> None:
        """TypeScript accepts what a user may write and refuses mistakes; the types have the names of the modules."""
        needed_tools()
        self.assertGreater(self.run_tests(PACKAGE / "test" / "unit" / "types.test.js"), 20)

    def test_format(self) -> None:
        """The formatter would change nothing."""
        self.run_node(needed_tools() / "prettier", "--check", "lib", "test", "types", "queuey.js", cwd=PACKAGE)


class FaultTests(NodeTestCase):
    """What the client does when things break."""

    def begin_program(self, *arguments: object) -> Program:
        """Start ``program.js``."""
        command = (self.node, str(PACKAGE / "test" / "live" / "program.js"))
        output = self.folder / f"{arguments[0]}-{len(list(self.folder.iterdir()))}"
        program = Program(output, *arguments, command=command)
        self.addCleanup(program.kill)
        return program

    @runs_in("test-long")
    def test_nothing_is_lost_and_nothing_comes_twice(self) -> None:
        """A producer, through a proxy that cuts, before a daemon that is killed and started.

        In ``make test``, ``ModuleTests.test_rules`` has the keys and retries of producers, ``test_client_faces`` what a
        daemon does with them, and ``test_client_following`` this client before a daemon that is killed.
        """
        random = Random(21)
        daemon = self.serve()
        self.client().queue("q").ensure(partitions=2)
        proxy = Proxy("daemon", self.port, random, most=30)
        self.addCleanup(proxy.close)
        producer = self.begin_program("produce", f"http://127.0.0.1:{proxy.port}", "q", POSTED)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.3, 0.6))
            daemon = self.kill_and_start(daemon, proxy)
        self.assertEqual(producer.wait(), 0, producer.output()[-3000:])
        found = Counter(message.text for message in self.client().queue("q").messages())
        wanted = {f"message-{number}" for number in range(POSTED)}
        lost, twice = wanted - set(found), [body for body, times in found.items() if times > 1]
        self.say(f"{POSTED} posted, {len(lost)} lost, {len(twice)} twice; cuts: {proxy.summary()}; kills: {KILLS}")
        self.assertEqual((sorted(lost)[:5], twice[:5], len(found)), ([], [], POSTED))
        self.assertGreater(sum(proxy.cuts.values()), 20)
        self.stop(daemon)

    def kill_and_start(self, daemon: Daemon, proxy: Proxy) -> Daemon:
        """Kill it in the middle of its work."""
        self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
        self.port = free_port()
        write_settings(self.folder, self.port)
        proxy.point(self.port)
        return self.serve()

    def test_workers(self) -> None:
        """After SIGTERM what waits is given back at once; a worker that was paused hears that its leases are lost."""
        daemon = self.serve()
        self.check_stop()
        self.check_pause()
        self.stop(daemon)

    def check_stop(self) -> None:
        """Work that takes longer than a lease is finished, and counted once."""
        queue = self.client().queue("stopped")
        queue.ensure()
        queue.post_all([str(number) for number in range(40)])
        group = queue.group("g")
        group.ensure()
        worker = self.begin_program("work", f"http://127.0.0.1:{self.port}", "stopped", "g", 1500 * LEASE)
        wait_until(lambda: "claimed" in worker.output(), "claims nothing")
        time.sleep(0.2)
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in worker.output(), "does not stop")
        began = time.monotonic()
        rest: set[str] = set()
        while len(rest) < 36 and time.monotonic() < began + LEASE:
            rest |= {delivery.id for delivery in group.claim(1000, lease=60, wait=1)}
        self.assertEqual(len(rest), 36)
        self.assertEqual(worker.wait(), 0, worker.output()[-3000:])
        self.assertEqual(len(re.findall("(?m)^handled", worker.output())), 4)
        self.assertEqual(sum(each.behind for each in group.info().lag), 36)

    def check_pause(self) -> None:
        """It is paused for longer than its leases, and another takes its messages."""
        queue = self.client().queue("paused")
        queue.ensure()
        queue.post_all(["a", "b", "c", "d"])
        group = queue.group("g")
        group.ensure()
        worker = self.begin_program("work", f"http://127.0.0.1:{self.port}", "paused", "g", 350 * LEASE)
        wait_until(lambda: "claimed" in worker.output(), "claims nothing")
        worker.process.send_signal(signal.SIGSTOP)
        taken: list[object] = []
        deadline = time.monotonic() + 60
        while len(taken) < 4 and time.monotonic() < deadline:
            taken += group.claim(10, lease=60, wait=1)
        self.assertEqual(len(taken), 4)
        worker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "lost" in worker.output(), "hears nothing")
        worker.process.send_signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output()[-3000:])


class PackageTests(NodeTestCase):
    """The client as others get it."""

    def npm(self, *arguments: str | Path, cwd: Path) -> str:
        """Run npm, without asking a registry."""
        found = shutil.which("npm")
        if found is None:
            raise SkipTest("there is no npm here")
        done = subprocess.run(
            [found, *map(str, arguments), "--offline", "--no-audit", "--no-fund", f"--cache={self.folder / 'cache'}"],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return done.stdout

    def test_package(self) -> None:
        """It holds the modules, their types and the README, needs no other package, and works where it is installed."""
        (packed,) = json.loads(self.npm("pack", "--json", "--pack-destination", self.folder, cwd=PACKAGE))
        modules = [*PACKAGE.glob("lib/*.js"), *PACKAGE.glob("types/*.d.ts")]
        wanted = {str(path.relative_to(PACKAGE)) for path in modules}
        wanted |= {"queuey.js", "package.json", "README.md", "LICENSE"}
        self.assertEqual({each["path"] for each in packed["files"]}, wanted)
        about = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
        self.assertNotIn("dependencies", about)
        self.assertEqual((PACKAGE / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())
        self.assertEqual(about["version"], re.sub(r"\.dev(\d+)$", r"-dev.\1", __version__))
        home = self.folder / "home"
        home.mkdir()
        self.npm("install", self.folder / packed["filename"], cwd=home)
        self.serve()
        (home / "first.mjs").write_text(first_program(self.port), encoding="utf-8")
        self.assertEqual(self.run_node("first.mjs", cwd=home).splitlines(), promised(first_program(self.port)))


def first_program(port: int) -> str:
    """The program that the README of the package shows."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"(?s)```js\n(.*?)```", text)
    return str(found).replace("5000", str(port))


class PageTests(NodeTestCase):
    """What the page of the documentation shows works, and prints what is said."""

    def test_programs(self) -> None:
        """In Node.js, one after another."""
        source = program(PAGE.read_text(encoding="utf-8"), "javascript").replace("5000", str(self.port))
        self.assertGreater(len(promised(source)), 5)
        self.add_settings("[application:queuey]\nsigned_urls = true\n")
        self.serve()
        modules = self.folder / "node_modules"
        modules.mkdir()
        (modules / "queuey-client").symlink_to(PACKAGE)
        (self.folder / "page.mjs").write_text(source, encoding="utf-8")
        self.assertEqual(self.run_node("page.mjs").splitlines(), promised(source))


def client_files() -> dict[str, bytes]:
    """The modules of the client, by the paths under which a page finds them."""
    modules = [PACKAGE / "queuey.js", *PACKAGE.glob("lib/*.js")]
    return {f"/{path.relative_to(PACKAGE)}": path.read_bytes() for path in modules}


class BrowserTests(LiveTestCase):
    """A page of another origin that imports the client as it stands, in Chromium."""

    def setUp(self) -> None:
        super().setUp()
        self.chromium = needed_chromium()

    def visit(self, html: str, query: str = "", **served: str) -> Any:
        """Open a page that is served beside the client.

        :param query: the parameters of the page.
        :param served: what else is served, by its name.
        :return: what it has posted.
        """
        files = client_files() | {f"/{name}": text.encode("utf-8") for name, text in served.items()}
        folder = self.folder / "browser"
        folder.mkdir()
        with serving(html, files=files) as page:
            self.add_settings(f"[application:queuey]\nsigned_urls = true\ncors_origins = {page.origin}\n")
            self.serve()
            with self.client() as client:
                client.queue("news").ensure()
                client.queue("news").post("it is raining")
            return visit(self.chromium, page, query, folder)

    def client(self) -> Client:
        """A client of the daemon itself."""
        return Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)

    def test_page(self) -> None:
        """Posts and reads by signed URLs, places in localStorage, a follower, a worker, and errors that can be read."""
        html = (Path(__file__).parents[1] / "browser" / "client.html").read_text(encoding="utf-8")
        seen = self.visit(html, f"api=http://127.0.0.1:{self.port}&key={KEY}")
        wanted = {
            "posted": [False, True],
            "read": ["grüße", "0,255"],
            "resumed": ["later"],
            "followed": ["one", "two"],
            "refused": ["NotAllowed", 403],
            "worked": ["grüße", "later", "one", "two"],
            "unreachable": ["Unavailable", "unknown", 1],
            "gone": ["NotFound", "no-such-queue", True],
            "aborted": "TimeoutError",
        }
        self.assertEqual(seen, wanted)
        with self.client() as client:
            self.assertEqual(client.queue("page").group("g").info().lag[0].behind, 0)

    def test_documentation(self) -> None:
        """The page that the documentation shows, which gets a signed URL from its server."""
        (found,) = re.findall(r"(?m)^\.\. code-block:: html\n((?:\n|   .*\n)+)", PAGE.read_text(encoding="utf-8"))
        with self.client() as client:
            url = client.queue("news").signed_url(["read"], 60)
        self.assertEqual(self.visit(textwrap.dedent(found) + REPORT, url=url), ["it is raining"])


class LockTests(SynchronousTestCase):
    """What the tests install."""

    def test_no_registry(self) -> None:
        """The lock file has versions and checksums, and leaves the registry to npm's settings."""
        lock = json.loads((PACKAGE / "package-lock.json").read_text(encoding="utf-8"))
        packages = [each for name, each in lock["packages"].items() if name]
        self.assertGreater(len(packages), 2)
        self.assertEqual([each for each in packages if "resolved" in each or "integrity" not in each], [])
