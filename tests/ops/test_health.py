"""/live and /ready: what they report, to whom, and that a part that hangs does not delay the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.errors import Unavailable
from queuey.interfaces import IStore
from queuey.ops.draining import Draining
from queuey.ops.health import LIMIT, Check, Finding, Health
from queuey.service.parts.health import LATE, free_bytes, liveness, readiness
from queuey.service.parts.reactor_lag import BEAT, Pulse
from tests.http.responses import Response
from tests.http.v1.test_refusals import Failing
from tests.ops.support import OpsTestCase
from tests.storage.subjects import MemorySubject

CHECKS = ["store", "clock", "lease", "draining", "disk"]


class HealthCase(OpsTestCase):
    """Asks, by a name of the port and without a token unless a test says otherwise."""

    def make_store(self) -> IStore:
        self.failing = Failing(super().make_store())
        return self.failing

    def health(self, path: str, method: str = "GET", /, **headers: str) -> Response:
        return self.ops.request(method, path, {"Host": "localhost", **headers})

    def checks(self, status: int, path: str = "/ready", /, **headers: str) -> dict[str, Any]:
        """What the answer says about each check."""
        answer = self.health(path, **headers)
        self.assertEqual((answer.status, answer.header("cache-control")), (status, "no-store"), answer.body)
        word = path.removeprefix("/")
        self.assertEqual(set(answer.json), {word, "checks"})
        self.assertIs(answer.json[word], status == 200)
        found: dict[str, Any] = answer.json["checks"]
        return found

    def bad(self, checks: dict[str, Any]) -> dict[str, str]:
        """The reasons of those that are not well."""
        return {name: check["reason"] for name, check in checks.items() if not check["ok"]}


class ReadyTests(HealthCase):
    """Whether requests are to be sent here."""

    def test_well(self) -> None:
        """Each check has its reason then too."""
        checks = self.checks(200)
        self.assertEqual(list(checks), CHECKS)
        for name, check in checks.items():
            self.assertEqual(set(check), {"ok", "reason"}, name)
            self.assertRegex(check["reason"], r"^[A-Z].*\.$")

    def test_store(self) -> None:
        self.failing.error, self.failing.methods = Unavailable("The disk stands still."), frozenset({"ping"})
        self.assertEqual(self.bad(self.checks(503)), {"store": "The disk stands still."})
        self.failing.error = None
        self.checks(200)

    def test_drained(self) -> None:
        """By an operator, who may change their mind; the heartbeat says the same."""
        self.assertTrue(self.call("drain"))
        self.assertEqual(self.bad(self.checks(503)), {"draining": "An operator drains this front end."})
        self.assertEqual(self.ask("GET", "/__heartbeat__").status, 503)
        self.assertFalse(self.call("undrain"))
        self.checks(200)
        self.assertEqual(self.ask("GET", "/__heartbeat__").status, 200)

    def test_stopping(self) -> None:
        """No operator makes a daemon ready that is about to stop."""
        self.assembly.draining.stop()
        self.assertTrue(self.call("undrain"))
        self.assertEqual(self.bad(self.checks(503)), {"draining": "The daemon is about to stop."})
        self.assertEqual(self.ask("GET", "/__heartbeat__").status, 503)
        self.assertTrue(self.call("status")["draining"])

    def test_requests_are_served_all_the_same(self) -> None:
        self.call("drain")
        self.make_queue()
        self.assembly.draining.stop()
        self.make_queue("another")


class WhoAsksTests(HealthCase):
    """Every client learns whether a check fails; only one that would be let in learns why."""

    TOKEN = "the-token-of-the-operators"
    settings = HealthCase.settings + f"[server]\nops_token = {TOKEN}\nops_hosts = ops.example\n"

    def test_strangers(self) -> None:
        """A monitor that watches many machines asks by their addresses, and has no token."""
        for path in ("/live", "/ready"):
            for headers in ({}, {"Host": "10.0.0.7:5001"}, {"Host": "evil.example"}, {"Authorization": "Bearer x"}):
                checks = self.checks(200, path, **headers)
                self.assertEqual([check for check in checks.values() if check != {"ok": True}], [])
                answer = self.health(path, **headers)
                self.assertEqual(answer.header("connection"), "close", "no stranger keeps one of the connections")

    def test_operators(self) -> None:
        token = {"Authorization": f"Bearer {self.TOKEN}"}
        for host in ("localhost", "ops.example:1"):
            self.assertIn("reason", self.checks(200, Host=host, **token)["store"])
            self.assertIsNone(self.health("/ready", Host=host, **token).header("connection"))
        self.assertNotIn("reason", self.checks(200, Host="evil.example", **token)["store"])

    def test_browsers(self) -> None:
        for name in ("Origin", "Referer", "Sec-Fetch-Site"):
            self.assertEqual(self.health("/ready", **{name: "null"}).status, 403)

    def test_methods(self) -> None:
        for path in ("/live", "/ready"):
            answer = self.health(path, "HEAD")
            self.assertEqual((answer.status, answer.body), (200, b""))
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                answer = self.health(path, method)
                self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD"))

    def test_what_is_open_is_not_more(self) -> None:
        for path in ("/rpc", "/ready/", "/live/x", "//ready", "/"):
            self.assertEqual(self.health(path).status, 401, path)


class LiveTests(HealthCase):
    """The reactor, and the threads of the store."""

    def test_a_store_that_does_not_answer_makes_no_difference(self) -> None:
        self.failing.error = Unavailable("It is away.")
        self.assertEqual(list(self.checks(200, "/live")), ["reactor", "threads"])

    def test_late(self) -> None:
        """A reactor that was held up is not alive, until a beat of it comes in time."""
        self.assembly.pulse.start()
        self.clock.pump([BEAT] * 3)
        self.checks(200, "/live")
        self.clock.advance(BEAT + LATE + 1)
        self.assertEqual(self.bad(self.checks(503, "/live")), {"reactor": f"The reactor is {LATE + 1:.1f} s late."})
        self.clock.advance(BEAT)
        self.checks(200, "/live")
        self.assembly.pulse.stop()


class PulseTests(SynchronousTestCase):
    """How late the reactor is."""

    def test_overdue(self) -> None:
        """A beat that is still to come is late as soon as its time is over."""

        class Held(Clock):
            """Its timers wait while it is held."""

            def pass_by(self, seconds: float) -> None:
                self.rightNow += seconds

        clock = Held()
        pulse = Pulse(clock)
        self.assertEqual(pulse.late, 0)
        pulse.start()
        clock.pass_by(BEAT)
        self.assertEqual(pulse.late, 0)
        clock.pass_by(7)
        self.assertEqual(pulse.late, 7)
        health = liveness(pulse, clock, MemorySubject().store)
        found, threads = self.successResultOf(health.look())
        self.assertEqual(found, Finding("reactor", False, "The reactor is 7.0 s late."))
        self.assertTrue(threads.ok)
        pulse.stop()
        self.assertEqual((pulse.late, clock.getDelayedCalls()), (0, []))


class CheckTests(SynchronousTestCase):
    """Limits of time and of effort."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[str]] = []

    def ask(self) -> Deferred[str]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_what_hangs(self) -> None:
        """It is waited for no longer than allowed, the others are reported, and it is not asked once more meanwhile."""
        check, other = Check("hangs", self.ask, self.clock), Check("well", lambda: succeed("Well."), self.clock)
        late = Finding("hangs", False, f"There was no answer within {LIMIT:g} s.")
        for _ in range(3):
            looking = Health("ready", [check, other]).look()
            self.assertNoResult(looking)
            self.clock.advance(LIMIT)
            self.assertEqual(self.successResultOf(looking), [late, Finding("well", True, "Well.")])
        self.assertEqual(len(self.asked), 1)
        self.asked[0].callback("At last.")
        again = check.look()
        self.assertEqual(len(self.asked), 2)
        self.asked[1].callback("Well.")
        self.assertTrue(self.successResultOf(again).ok)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_ask(self) -> None:
        """One question serves all who ask meanwhile, whatever its answer."""
        check = Check("one", self.ask, self.clock)
        for number, answer in enumerate((None, Unavailable("It is away."))):
            looking = [check.look() for _ in range(5)]
            self.assertEqual(len(self.asked), number + 1)
            self.asked[-1].callback("Well.") if answer is None else self.asked[-1].errback(answer)
            self.assertEqual({self.successResultOf(each).ok for each in looking}, {answer is None})

    def test_defect(self) -> None:
        """An unforeseen error is in the log, and not in the answer."""
        for ask in (lambda: fail(ZeroDivisionError("secret")), lambda: succeed(str(1 // 0))):
            found = self.successResultOf(Check("one", ask, self.clock).look())
            self.assertEqual((found.ok, found.reason), (False, "This check cannot be made; the log says why."))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class DiskAndTroubleTests(SynchronousTestCase):
    """What a daemon in memory does not have."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.free: Deferred[int] = succeed(1 << 40)
        self.troubles_: dict[str, str] = {}
        self.workers = 2
        (self.folder / "ini").write_text("[server]\ndisk_floor = 3MiB\n[storage]\npath = data\n")
        self.settings = config.load(self.folder / "ini")
        self.clock = Clock()

    def ping(self) -> Deferred[None]:
        return succeed(None)

    def health_problems(self) -> dict[str, str]:
        return self.troubles_

    def look(self) -> dict[str, Finding]:
        """What is found, with this test for a store."""
        store: Any = self
        draining = Draining(self.clock.seconds)
        health = readiness(
            store=store,
            draining=draining,
            settings=lambda: self.settings,
            free=lambda _: self.free,
            clock=self.clock,
            accepting=lambda: self.workers,
        )
        found = health.look()
        self.clock.advance(LIMIT)
        return {each.name: each for each in self.successResultOf(found) if not each.ok}

    def test_no_worker(self) -> None:
        self.workers = 0
        self.assertEqual(self.look()["workers"].reason, "No worker accepts.")

    def test_well(self) -> None:
        self.assertEqual(self.look(), {})

    def test_floor(self) -> None:
        for free, low in ((3 << 20, False), ((3 << 20) - 1, True), (0, True)):
            self.free = succeed(free)
            self.assertEqual(list(self.look()), ["disk"] if low else [], free)
        self.assertEqual(
            self.look()["disk"].reason, f"0.0 MiB are free in {self.folder / 'data'}, and disk_floor is 3MiB."
        )

    def test_floor_of_a_large_disk(self) -> None:
        self.settings = attrs.evolve(
            self.settings, server=attrs.evolve(self.settings.server, disk_floor=(4 << 40) + (1 << 20))
        )
        self.free = succeed(1 << 40)
        self.assertEqual(
            self.look()["disk"].reason,
            f"1048576.0 MiB are free in {self.folder / 'data'}, and disk_floor is 4194305MiB.",
        )

    def test_disk_that_does_not_answer(self) -> None:
        self.free = Deferred()
        self.assertEqual(self.look()["disk"].reason, f"There was no answer within {LIMIT:g} s.")
        self.free = fail(OSError(5, "Input/output error"))
        self.assertIn("cannot be asked: Input/output error", self.look()["disk"].reason)

    def test_file_system(self) -> None:
        self.assertGreater(free_bytes(self.folder), 0)
        self.assertRaises(OSError, free_bytes, self.folder / "nothing")

    def test_troubles(self) -> None:
        for name in ("clock", "lease"):
            self.troubles_ = {name: "The reason."}
            self.assertEqual(self.look(), {name: Finding(name, False, "The reason.")})


class DrainingTests(SynchronousTestCase):
    """For how long it has been so."""

    def test_lasted(self) -> None:
        """It counts from the moment at which it began, whichever operator began it, and again after its end."""
        clock = Clock()
        draining = Draining(clock.seconds)
        draining.ask(True)
        clock.advance(3)
        draining.ask(True)
        draining.stop()
        clock.advance(4)
        self.assertEqual((draining.on, draining.lasted), (True, 7))
        draining.ask(False)
        self.assertEqual((draining.on, draining.lasted), (True, 7))
        other = Draining(clock.seconds)
        other.ask(True)
        clock.advance(1)
        other.ask(False)
        self.assertEqual((other.on, other.lasted), (False, 0))
        other.ask(True)
        clock.advance(2)
        self.assertEqual(other.lasted, 2)
