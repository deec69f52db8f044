"""From files to settings: values, defaults, and the exact line of every mistake."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_network
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import (
    DEVELOPMENT_APPLICATION,
    DEVELOPMENT_KEY,
    ApplicationSettings,
    LoggingSettings,
    MemoryStorage,
    MetricsSettings,
    OpsSettings,
    ServerSettings,
    SQLiteStorage,
    development,
    keys,
    name_is_good,
)
from queuey.config.declarations.storage import METADATA
from queuey.config.mistakes import Mistake
from queuey.model.applications.policy import Policy
from queuey.model.queues.name_patterns import GroupPattern, QueuePattern
from queuey.model.queues.queue import Consistency, Guarantee
from tests.config.mistakes import MISTAKES, NAMES, SERVER_KEYS
from tests.config.support import APPLICATION, KEY, SettingsTestCase

DEFAULT_SERVER = ServerSettings(
    http=("tcp:5000:interface=127.0.0.1",),
    max_body=1 << 20,
    max_header=64 << 10,
    header_timeout=10.0,
    request_timeout=60.0,
    idle_timeout=75.0,
    max_connections=10_000,
    stop_timeout=30.0,
    drain_pause=0.0,
    disk_floor=64 << 20,
    forwarded=(),
    live_time=600.0,
    live_heartbeat=15.0,
)


def with_socket(server: ServerSettings, data: Path) -> ServerSettings:
    """The settings with the operators' socket that belongs to some data."""
    return attrs.evolve(server, ops=OpsSettings(socket=f"unix:{data}/queuey-ops.sock:mode=600"))


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class ValueTests(SettingsTestCase):
    def test_defaults(self) -> None:
        settings = self.load(APPLICATION)
        self.assertEqual(settings.source, self.file)
        self.assertEqual(settings.server, with_socket(DEFAULT_SERVER, self.folder / "queuey-data"))
        self.assertEqual(settings.storage, SQLiteStorage(self.folder / "queuey-data", "full", 16 << 20))
        self.assertEqual(settings.logging, LoggingSettings(None, "text", "info"))
        policy = Policy("app", 1 << 20, Guarantee.AT_LEAST_ONCE, Consistency.STRONG, 259_200)
        self.assertEqual(settings.applications, (ApplicationSettings("app", frozenset({digest(KEY)}), policy),))
        self.assertEqual(settings.warnings, ())

    def test_development(self) -> None:
        settings = development(Path("/somewhere"))
        self.assertIsNone(settings.source)
        self.assertEqual(settings.server, with_socket(DEFAULT_SERVER, Path("/somewhere/queuey-data")))
        self.assertEqual(settings.storage, SQLiteStorage(Path("/somewhere/queuey-data"), "full", 16 << 20))
        self.assertEqual(settings.logging.file, None)
        (application,) = settings.applications
        self.assertEqual(application.name, DEVELOPMENT_APPLICATION)
        self.assertEqual(application.digests, {digest(DEVELOPMENT_KEY)})
        self.assertTrue(application.policy.signed_urls)
        self.assertEqual(application.policy.cors_origins, ("http://localhost:*", "http://127.0.0.1:*"))
        self.assertEqual(settings.warnings, ())

    def test_server(self) -> None:
        settings = self.load(
            "[server]\nhttp = tcp:80\n  tcp6:80\nmax_body = 5\nmax_header = 2 KiB\nheader_timeout = 0.5\n"
            "request_timeout = 100.25\nidle_timeout = 7\nmax_connections = 3\nstop_timeout = 0\n"
            "drain_pause = 4.5\ndisk_floor = 1GiB\n"
            "forwarded = 10.0.0.0/8, ::1\n  192.0.2.1\nlive_time = 1m\nlive_heartbeat = 5.5\n" + APPLICATION
        )
        forwarded = tuple(map(ip_network, ("10.0.0.0/8", "::1", "192.0.2.1")))
        server = ServerSettings(
            ("tcp:80", "tcp6:80"), 5, 2048, 0.5, 100.25, 7.0, 3, 0.0, 4.5, 1 << 30, forwarded, 60.0, 5.5
        )
        self.assertEqual(settings.server, with_socket(server, self.folder / "queuey-data"))
        self.assertEqual(settings.applications[0].policy.max_body, 5)

    def test_storage(self) -> None:
        sqlite = self.load("[storage]\nbackend = sqlite\npath = ../d\ndurability = relaxed\ncache = 1MiB\n")
        self.assertEqual(sqlite.storage, SQLiteStorage(self.folder.parent / "d", "relaxed", 1 << 20))
        self.assertEqual(self.load("[storage]\npath = /d\n").storage, SQLiteStorage(Path("/d"), "full", 16 << 20))
        self.assertEqual(self.load("[storage]\nbackend = memory\n").storage, MemoryStorage(256 << 20))
        self.assertEqual(self.load("[storage]\nbackend = memory\nmax_bytes = 2GiB").storage, MemoryStorage(2 << 30))

    def test_metadata_may_repeat_the_backend(self) -> None:
        self.assertEqual(self.load("[metadata]\nbackend = sqlite\n" + APPLICATION).warnings, ())
        self.load("[storage]\nbackend = memory\n[metadata]\nbackend = memory\n")
        self.load("[metadata]\n")

    def test_logging(self) -> None:
        settings = self.load("[logging]\nfile = log/q\nformat = json\nlevel = debug\n")
        self.assertEqual(settings.logging, LoggingSettings(self.folder / "log/q", "json", "debug"))

    def test_metrics(self) -> None:
        self.assertEqual(self.load("").metrics, MetricsSettings(True, None, "queuey", 10.0))
        more = "statsd_prefix = q.eu-1\nstatsd_every = 2.5\n"
        for text, address in (
            ("[::1]:8125", ("::1", 8125)),
            ("stats.example:1", ("stats.example", 1)),
            ("unix:s", self.folder / "s"),
        ):
            settings = self.load(f"[metrics]\nstatsd = {text}\n{more}")
            self.assertEqual(settings.metrics, MetricsSettings(True, address, "q.eu-1", 2.5))
            shown = text if isinstance(address, tuple) else f"unix:{address}"
            self.assertIn(f"statsd = {shown}", settings.describe())

    def test_groups_to_follow(self) -> None:
        text = "\n    shop/*/mail[a-c]\n    b/letters to x/g\ngroup_limit = 7\ngroup_every = 2.5"
        settings = self.load(f"[metrics]\ngroups = {text}\n")
        patterns = GroupPattern("shop", "*", "mail[a-c]"), GroupPattern("b", "letters to x", "g")
        self.assertEqual(settings.metrics, MetricsSettings(groups=patterns, group_limit=7, group_every=2.5))
        self.assertIn(f"groups = {text}", "\n".join(settings.describe()))

    def test_queues_that_are_measured(self) -> None:
        settings = self.load("[metrics]\nqueues =\n    shop/*\n    b/letters to x\nqueue_limit = 7\nqueue_every = 2.5")
        patterns = QueuePattern("shop", "*"), QueuePattern("b", "letters to x")
        self.assertEqual(settings.metrics, MetricsSettings(queues=patterns, queue_limit=7, queue_every=2.5))

    def test_guarantees(self) -> None:
        cluster = "[storage]\nbackend = cassandra\nmulti_dc = true\nlocal_dc = a\nreplication = a:3, b:3\n"
        for storage in ("", "[storage]\nbackend = memory\n", cluster):
            for guarantee in Guarantee:
                text = f"[application:app]\nguarantee = {guarantee.value}\nconsistency = very_strong\n"
                (application,) = self.load(f"{storage}{text}[application_keys]\napp = a-long-key\n").applications
                self.assertIs(application.policy.guarantee, guarantee)
        weak = self.load("[application:app]\nguarantee = at-most-once\nconsistency = weak\n" + APPLICATION)
        self.assertIn(Guarantee.AT_MOST_ONCE, [one.policy.guarantee for one in weak.applications])

    def test_application(self) -> None:
        settings = self.load(
            "[application:b]\nguarantee = at-least-once\nconsistency = very_strong\ncreate_queues = on-write\nttl = 9\n"
            "idempotency_ttl = 60\n"
            "cors_origins = https://a.example http://b:81,http://[::1]:5\n  moz-extension://0a-1\nmax_queues = 3\n"
            "max_bytes = 1TiB\nmax_body = 1KiB\nkeys = of-the-section\n  second=key=\n"
            "[application_keys]\nb = one-more-key\na = %(not)s-interpolated\n"
        )
        a, b = settings.applications
        self.assertEqual(a.digests, {digest("%(not)s-interpolated")})
        self.assertEqual(b.digests, {digest("of-the-section"), digest("second=key="), digest("one-more-key")})
        origins = ("https://a.example", "http://b:81", "http://[::1]:5", "moz-extension://0a-1")
        self.assertEqual(
            b.policy,
            Policy(
                "b",
                1024,
                Guarantee.AT_LEAST_ONCE,
                Consistency.VERY_STRONG,
                9,
                max_queues=3,
                max_bytes=1 << 40,
                cors_origins=origins,
                create_on_write=True,
                idempotency_ttl=60,
            ),
        )

    def test_both_spellings_of_very_strong(self) -> None:
        for word in ("very_strong", "very-strong"):
            settings = self.load(f"[application:app]\nconsistency = {word}\n{APPLICATION}")
            self.assertIs(settings.applications[0].policy.consistency, Consistency.VERY_STRONG)
            self.assertIn("consistency = very_strong", settings.describe())

    def test_all_origins(self) -> None:
        settings = self.load("[application:app]\ncors_origins = *\n" + APPLICATION)
        self.assertEqual(settings.applications[0].policy.cors_origins, ("*",))

    def test_keys_as_digests(self) -> None:
        text = f"[application_keys]\napp =\n  sha256:{digest('k').hex()}\n  sha256:{digest('l').hex().upper()}\n"
        self.assertEqual(self.load(text).applications[0].digests, {digest("k"), digest("l")})

    def test_an_empty_value_is_the_default(self) -> None:
        text = "[server]\nhttp =\nmax_body =\nforwarded =\n[storage]\nbackend =\npath =\n[logging]\nfile =\n"
        self.assertEqual(
            (self.load(text).server, self.load(text).storage),
            (
                with_socket(DEFAULT_SERVER, self.folder / "queuey-data"),
                SQLiteStorage(self.folder / "queuey-data", "full", 16 << 20),
            ),
        )

    def test_names_of_applications(self) -> None:
        for name in ("a", "A.b_c-9", "x" * 50):
            self.assertTrue(name_is_good(name), name)
        for name in ("", ".", "..", "x" * 51, "a b", "a/b", "a:b", "é", "a\n"):
            self.assertFalse(name_is_good(name), name)


_BOUNDS = re.compile(r"([0-9.]+[KMGT]?(?:iB)?)(?: byte)? to ([0-9.]+(?:[KMGT]iB)?)(?: seconds| a second)?")
NUMBERS = [key for key in keys.TABLE if _BOUNDS.fullmatch(key.allowed)]
"""Every setting that is a number, a size or a time, by what the table says is allowed."""

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def number_of(text: str) -> float:
    """The number that a bound is."""
    return float(text.removesuffix("iB").rstrip("KMGT")) * UNITS.get(text.removesuffix("iB")[-1], 1)


class BoundTests(SettingsTestCase):
    def test_spans_of_time(self) -> None:
        """Seconds, or a number with a unit; they are shown in seconds."""
        for text, ttl in (("90", 90), ("90s", 90), ("15m", 900), ("6h", 21_600), ("3 d", 259_200), ("1.5h", 5400)):
            settings = self.load(f"[application:a]\nttl = {text}\n")
            self.assertEqual(settings.applications[0].policy.ttl, ttl)
            self.assertIn(f"ttl = {ttl}", settings.describe())
        server = self.load("[server]\nrequest_timeout = 1.5m\nidle_timeout = 0.25h\ndrain_pause = 0.5s\n").server
        self.assertEqual((server.request_timeout, server.idle_timeout, server.drain_pause), (90.0, 900.0, 0.5))

    def test_bounds(self) -> None:
        """Each bound is allowed; what lies beyond it, and what is not a number, is refused in words that say so."""
        self.assertGreater(len(NUMBERS), 45)
        for key in NUMBERS:
            match = _BOUNDS.match(key.allowed)
            assert match is not None
            for bound in match.groups():
                self.assertEqual(key.kind.read(bound, Path()), number_of(bound), key)
                self.assertEqual(key.kind.show(key.kind.read(bound, Path())), bound, key)
            low, high = map(number_of, match.groups())
            whole = float(low).is_integer() and "rate" not in key.name
            for number in (low - (1 if whole else 0.0005), high + 1, high * 1000):
                text = f"{number:.6f}".rstrip("0").rstrip(".")
                mistake = self.assertRaises(Mistake, key.kind.read, text, Path())
                self.assertRegex(mistake.what, r"is out of range$|is not a (whole )?number", (key, text))
            for text in ("x", "1,5", "0x1", "1_0", "nan", "\u0661"):
                mistake = self.assertRaises(Mistake, key.kind.read, text, Path())
                self.assertRegex(mistake.what, r"is not a |is no|neither", (key, text))

    def test_defaults(self) -> None:
        """Each default is allowed, and is what an empty file means."""
        for key in keys.TABLE:
            if key.default and key is not METADATA:
                self.assertEqual(key.kind.show(key.kind.read(key.default, Path("/"))), key.default.replace("./", "/"))


class MistakeTests(SettingsTestCase):
    def test_each_with_its_line(self) -> None:
        for text, line in MISTAKES:
            self.assertEqual(self.problems(f"{text}\n{APPLICATION}"), [line], text)

    def test_keys_that_cannot_be_sent(self) -> None:
        for key in ("a-key;and-another", "a-key,and-another", "a-key and-another", "a-k\u00e9y-of-a-kind"):
            (line,) = self.problems(f"[application_keys]\napp = {key}\n")
            self.assertTrue(line.startswith("[application_keys] app: a key has a space"), line)

    def test_the_name_of_an_application_in_application_keys(self) -> None:
        (line,) = self.problems("[application_keys]\na/b = some-long-key\n")
        self.assertEqual(line, f"[application_keys] a/b: is not a name of an application; {NAMES}")

    def test_all_together(self) -> None:
        text = "[server]\nmax_body = x\nfoo = 1\nhttp = tcp:1\n  tcp:x\n  what:1\n[logging]\nlevel = x\nwhat\n[x]\n"
        self.assertEqual(len(self.problems(text)), 7)

    def test_a_value_is_cut_and_escaped(self) -> None:
        (line,) = self.problems(f"[logging]\nlevel = \u2028{'x' * 5000}\n")
        self.assertEqual(
            line, f"[logging] level: '\\u2028{'x' * 59}...' is not known; allowed: debug, info, warn, error"
        )

    def test_metadata_is_not_judged_by_a_backend_that_was_refused(self) -> None:
        (line,) = self.problems("[storage]\nbackend = casandra\n[metadata]\nbackend = memory\n")
        self.assertIn("[storage] backend", line)


class WarningTests(SettingsTestCase):
    def test_applications_without_keys(self) -> None:
        settings = self.load("[application:b]\n[application_keys]\nc =\n" + APPLICATION.partition("\n")[2])
        self.assertEqual(
            self.warned(settings),
            [
                "application b: has no key, so no client can write to it",
                "application c: has no key, so no client can write to it",
            ],
        )

    def test_a_misspelt_application(self) -> None:
        settings = self.load("[application:shpo]\nttl = 5\n[application_keys]\nshop = a-key-of-the-shop\n")
        self.assertEqual(
            self.warned(settings), ["application shpo: has no key, so no client can write to it; did you mean shop?"]
        )

    def test_no_application(self) -> None:
        self.assertEqual(
            self.warned(self.load("")),
            ["[application_keys]: names no application, so only applications of the store can use the daemon"],
        )

    def test_settings_that_are_gone(self) -> None:
        """A file that has one still loads, whatever its value."""
        gone = "[server] channel: is ignored: there is only one way to read the heads of requests"
        for value in ("python", "nonsense", ""):
            settings = self.load(f"[server]\nchannel = {value}\nhttp = tcp:5001\n{APPLICATION}")
            self.assertEqual((settings.server.http, self.warned(settings)), (("tcp:5001",), [gone]))
        self.assertEqual(
            self.problems("[server]\nchanel = python\n"), [f"[server] chanel: is not known; {SERVER_KEYS}"]
        )

    def test_short_keys(self) -> None:
        text = "[application_keys]\na = 1234567\nb = 12345678\n[application:c]\nkeys = x\n"
        self.assertEqual(
            self.warned(self.load(text)),
            [
                "[application:c] keys: has a key shorter than 8 characters, which can be guessed",
                "[application_keys] a: has a key shorter than 8 characters, which can be guessed",
            ],
        )


class ReprTests(SynchronousTestCase):
    def test_no_key_and_no_digest(self) -> None:
        settings = development(Path("/d"))
        for shown in (repr(settings), str(settings), repr(settings.applications)):
            self.assertNotIn(DEVELOPMENT_KEY, shown)
            self.assertNotIn(repr(digest(DEVELOPMENT_KEY)), shown)
            self.assertNotIn(digest(DEVELOPMENT_KEY).hex(), shown)


class OpsTests(SettingsTestCase):
    """The operators' port."""

    def line(self, text: str) -> str:
        """The only thing that is wrong."""
        (line,) = self.problems(text)
        return line

    def test_local(self) -> None:
        ops = self.load(
            "[server]\nops = unix:ops.sock\n  tcp:5001:interface=127.0.0.1\n  tcp6:1:interface=\\:\\:1\n"
        ).server.ops
        self.assertEqual(ops.listen[0], f"unix:{self.folder}/ops.sock:mode=600")
        self.assertEqual((len(ops.listen), ops.token, ops.hosts, ops.backups), (3, None, (), None))

    def test_others(self) -> None:
        for one in (
            "tcp:5001",
            "tcp:5001:interface=192.0.2.1",
            "tcp6:5001",
            "tcp6:5001:interface=\\:\\:",
            "unix:ops.sock:mode=666",
            "unix:ops.sock:mode=602",
            "systemd:domain=UNIX:name=ops",
        ):
            self.assertIn("needs an ops_token", self.line(f"[server]\nops = {one}\n"))
            settings = self.load(f"[server]\nops = {one}\nops_token = a-token-of-16-and\n")
            self.assertEqual(settings.server.ops.token, digest("a-token-of-16-and"))
            self.assertNotIn("a-token-of-16-and", repr(settings) + "\n".join(settings.describe()))
            self.assertNotIn(digest("a-token-of-16-and").hex(), repr(settings))

    def test_a_digest_of_a_token(self) -> None:
        token = f"sha256:{digest('t').hex()}"
        ops = self.load(f"[server]\nops = tcp:1\nops_token = {token}\nops_hosts = Q.Example, [::2]\n").server.ops
        self.assertEqual((ops.token, ops.hosts), (digest("t"), ("q.example", "[::2]")))

    def test_bad_tokens_and_hosts(self) -> None:
        for token in ("short-secret", "a secret with spaces", "sha256:12secret", "secret-\u00fc-long-enough"):
            said = self.line(f"[server]\nops = tcp:5001\nops_token = {token}\n")
            self.assertIn("[server] ops_token: the ", said)
            self.assertNotIn("secret", said)
            self.assertNotIn("needs an ops_token", said)
        for host in ("http://a", "a:5001", "::1"):
            self.assertIn("is not a name or an address of a host", self.line(f"[server]\nops_hosts = {host}\n"))
