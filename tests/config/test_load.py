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
from queuey.config.mistakes import Mistake
from queuey.config.storage import METADATA
from queuey.model.name_patterns import GroupPattern, QueuePattern
from queuey.model.policy import Policy
from queuey.model.queue import Consistency, Guarantee
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


ENDPOINTS = "allowed: endpoints of kind tcp, tcp6, ssl, unix or systemd, one a line"
ORIGINS = "allowed: origins as scheme://host[:port], separated by spaces, commas or lines, or *"
NETWORKS = "allowed: addresses and networks, separated by spaces, commas or lines"
SERVER_KEYS = (
    "allowed: http, max_body, max_header, header_timeout, request_timeout, idle_timeout, max_connections, "
    "stop_timeout, drain_pause, disk_floor, forwarded, live_time, live_heartbeat, "
    "workers, file_group, ops, ops_token, ops_hosts, ops_backups, ops_peek, dashboard, dashboard_tokens, "
    "dashboard_hosts, dashboard_peek"
)
RATES = "allowed: 0.001 to 1000000 a second"
APPLICATION_KEYS = (
    "allowed: guarantee, consistency, create_queues, ttl, idempotency_ttl, cors_origins, identities, signed_urls, "
    "push, push_hosts, sqs, keys, max_queues, max_bytes, "
    "max_messages, max_queue_bytes, max_queue_messages, max_groups, max_waits, max_queue_waits, max_live, "
    "max_queue_live, request_rate, request_burst, message_rate, message_burst, queue_request_rate, "
    "queue_request_burst, queue_message_rate, queue_message_burst, max_body"
)
SECTIONS = (
    "allowed: [server], [storage], [metadata], [application_keys], [application:NAME], [applications], [browserid], "
    "[jwt:NAME], [logging], [metrics], [tracing], [push], [sqs]"
)
CLUSTER = "allowed: " + ", ".join(key.name for key in keys.STORAGE["cassandra"])
NODES = "allowed: nodes as host or host:port, separated by commas"
COPIES = "allowed: 1 to 100, or one for each data centre as dc1:3, dc2:3"
ENDPOINT = "allowed: a URL of https or http, such as http://127.0.0.1:4318/v1/traces"
FIELDS = "allowed: header fields as name: value, one a line"
NO_FIELD = f"is not a name, a colon and a value of visible ASCII; {FIELDS}"
STATSD = "allowed: host:port, or unix: and the path of a socket"
NAMES = "allowed: 1 to 50 letters, digits, dots, underscores and hyphens"
KEYS = "allowed: keys, one a line, plain or as sha256: and 64 hex digits"

MISTAKES = (
    ("[servr]", f"[servr]: is not known; {SECTIONS}; did you mean [server]?"),
    ("[Server]", f"[Server]: is not known; {SECTIONS}; did you mean [server]?"),
    ("[x\x85y]", f"['x\\x85y']: is not known; {SECTIONS}"),
    ("[DEFAULT]", f"[DEFAULT]: is not known; {SECTIONS}"),
    ("[server]\nmax_bdy = 1", f"[server] max_bdy: is not known; {SERVER_KEYS}; did you mean max_body?"),
    ("[server]\nMAX_BODY = 1", f"[server] MAX_BODY: is not known; {SERVER_KEYS}; did you mean max_body?"),
    (
        "[server]\ndurability = 1",
        f"[server] durability: is not known; {SERVER_KEYS}; did you mean [storage] durability?",
    ),
    ("[server]\nzzz = 1", f"[server] zzz: is not known; {SERVER_KEYS}"),
    ("[server]\nmax_body = \u0661", "[server] max_body: '\u0661' is not a size; allowed: 1 byte to 256MiB"),
    (
        "[server]\nmax_body = 1MB",
        "[server] max_body: 'MB' is not a unit; allowed: 1 byte to 256MiB; did you mean 1MiB?",
    ),
    ("[server]\nmax_body = 3k", "[server] max_body: 'k' is not a unit; allowed: 1 byte to 256MiB; did you mean 3KiB?"),
    ("[server]\nmax_body = 1 foot", "[server] max_body: 'foot' is not a unit; allowed: 1 byte to 256MiB"),
    ("[server]\nmax_body = 1; x", "[server] max_body: '1; x' is not a size; allowed: 1 byte to 256MiB"),
    (
        "[server]\nrequest_timeout = nan",
        "[server] request_timeout: 'nan' is not a time, such as 90, 90s, 15m, 6h or 3d; allowed: 0.1 to 86400 seconds",
    ),
    ("[server]\nmax_connections = -5", "[server] max_connections: '-5' is out of range; allowed: 1 to 1000000"),
    (
        "[server]\nmax_connections = +5",
        "[server] max_connections: '+5' has a sign; leave it out; allowed: 1 to 1000000",
    ),
    ("[server]\nmax_connections = 2.5", "[server] max_connections: '2.5' is not a whole number; allowed: 1 to 1000000"),
    (
        "[server]\nmax_connections = -2.5",
        "[server] max_connections: '-2.5' is not a whole number; allowed: 1 to 1000000",
    ),
    ("[server]\nstop_timeout = -1.5", "[server] stop_timeout: '-1.5' is out of range; allowed: 0 to 3600 seconds"),
    (
        "[server]\nforwarded = 10.0.0.1/8",
        f"[server] forwarded: '10.0.0.1/8' has bits set beyond its length; {NETWORKS}; did you mean 10.0.0.0/8?",
    ),
    ("[server]\nforwarded = lo", f"[server] forwarded: 'lo' is neither an address nor a network; {NETWORKS}"),
    ("[server]\nhttp = tcp:70000", f"[server] http: '70000' is no port: 0 to 65535; {ENDPOINTS}"),
    (
        "[storage]\nbackend = sqlit",
        "[storage] backend: sqlit is not known; allowed: sqlite, memory, cassandra; did you mean sqlite?",
    ),
    (
        "[storage]\nbackend = cassandra\nhosst = x",
        f"[storage] hosst: is not known; {CLUSTER}; did you mean host?",
    ),
    (
        "[storage]\nbackend = cassandra\npath = x",
        f"[storage] path: belongs to backend = sqlite, not cassandra; {CLUSTER}",
    ),
    ("[storage]\nbackend = cassandra\nhost = a b:x", f"[storage] host: 'b:x' is neither host nor host:port; {NODES}"),
    (
        "[storage]\nbackend = cassandra\nhost = ::1",
        f"[storage] host: '::1' is neither host nor host:port; {NODES}; did you mean [::1]?",
    ),
    ("[storage]\nbackend = cassandra\nhost = [::1]:0", f"[storage] host: '[::1]:0' has an invalid port; {NODES}"),
    ("[storage]\nbackend = cassandra\nhost = [x]", f"[storage] host: '[x]' has no name or address of a host; {NODES}"),
    ("[storage]\nbackend = cassandra\nhost = -x", f"[storage] host: '-x' has no name or address of a host; {NODES}"),
    ("[storage]\nbackend = cassandra\nhost = ,", f"[storage] host: ',' names no node; {NODES}"),
    (
        "[storage]\nbackend = cassandra\ndatabase = 1x",
        "[storage] database: '1x' is not a name of a keyspace; allowed: a keyspace: a letter, and at most 47 more "
        "letters, digits and underscores",
    ),
    (
        "[storage]\nbackend = cassandra\nreplication = 0",
        f"[storage] replication: '0' names no number of copies; {COPIES}",
    ),
    (
        "[storage]\nbackend = cassandra\nreplication = dc1",
        f"[storage] replication: 'dc1' is neither a number nor a data centre and its number; {COPIES}",
    ),
    (
        "[storage]\nbackend = cassandra\nreplication = dc1:3 dc1:2",
        f"[storage] replication: 'dc1' stands twice; {COPIES}",
    ),
    (
        "[storage]\nbackend = cassandra\nreplication = dc1:x",
        f"[storage] replication: 'dc1:x' names no number of copies; {COPIES}",
    ),
    (
        "[storage]\nbackend = cassandra\nlocal_dc = a b",
        "[storage] local_dc: 'a b' is not a name of a data centre; allowed: a data centre",
    ),
    (
        "[storage]\nbackend = cassandra\nmulti_dc = maybe",
        "[storage] multi_dc: 'maybe' is neither true nor false; allowed: true, false",
    ),
    ("[storage]\nbackend = cassandra\nusername = me", "[storage] username: has no effect without password"),
    ("[storage]\nbackend = cassandra\npassword = hush", "[storage] password: has no effect without username"),
    ("[storage]\nbackend = cassandra\ntls_check = nothing", "[storage] tls_check: has no effect without tls = true"),
    (
        "[storage]\nbackend = cassandra\ntls = yes\ntls_key = x.pem",
        "[storage] tls_key: has no effect without tls_certificate",
    ),
    (
        "[storage]\nbackend = cassandra\n[application:app]\nmax_bytes = 1MiB",
        "[application:app] max_bytes: cannot be had with backend = cassandra: a cluster does not count bytes exactly",
    ),
    (
        "[storage]\nbackend = cassandra\n[application:app]\nmax_queue_messages = 5",
        "[application:app] max_queue_messages: cannot be had with backend = cassandra: a cluster does not count "
        "messages exactly",
    ),
    (
        "[storage]\nbackend = queuey.storage.memory.MemoryQueuBackend",
        "[storage] backend: queuey.storage.memory.MemoryQueuBackend is not known; allowed: sqlite, memory, cassandra; "
        "did you mean queuey.storage.memory.MemoryQueueBackend?",
    ),
    (
        "[storage]\nmax_bytes = 1MiB",
        "[storage] max_bytes: belongs to backend = memory, not sqlite; allowed: backend, path, durability, cache",
    ),
    (
        "[storage]\nbackend = memory\npath = x",
        "[storage] path: belongs to backend = sqlite, not memory; allowed: backend, max_bytes",
    ),
    (
        "[storage]\nbackend = memory\nhost = x",
        "[storage] host: belongs to backend = cassandra, not memory; allowed: backend, max_bytes",
    ),
    (
        "[storage]\npth = x",
        "[storage] pth: is not known; allowed: backend, path, durability, cache; did you mean path?",
    ),
    (
        "[storage]\ndurability = ful",
        "[storage] durability: 'ful' is not known; allowed: full, relaxed; did you mean full?",
    ),
    ("[storage]\ncache = 1", "[storage] cache: '1' is out of range; allowed: 1MiB to 64GiB"),
    (
        "[metadata]\nbackend = memory",
        "[metadata] backend: memory is not that of [storage], and this version keeps queues and messages in one "
        "backend; allowed: sqlite",
    ),
    (
        "[metadata]\nbackend = queuey.storage.cassandra.CassandraMetadata",
        "[metadata] backend: cassandra is not that of [storage], and this version keeps queues and messages in one "
        "backend; allowed: sqlite",
    ),
    (
        "[metadata]\nhost = x",
        "[metadata] host: is not known; allowed: backend; did you mean [storage] host?",
    ),
    ("[metadata]\nbackendd = x", "[metadata] backendd: is not known; allowed: backend; did you mean backend?"),
    (
        "[logging]\nlevel = warning",
        "[logging] level: 'warning' is not known; allowed: debug, info, warn, error; did you mean warn?",
    ),
    ("[metrics]\nenabled = maybe", "[metrics] enabled: 'maybe' is neither true nor false; allowed: true, false"),
    (
        "[metrics]\nstatsd = localhost",
        f"[metrics] statsd: 'localhost' has no port; {STATSD}; did you mean localhost:8125?",
    ),
    ("[metrics]\nstatsd = a:1 b:2", f"[metrics] statsd: 'a:1 b:2' is neither host:port nor unix: and a path; {STATSD}"),
    ("[metrics]\nstatsd = x:99999", f"[metrics] statsd: 'x:99999' is neither host:port nor unix: and a path; {STATSD}"),
    ("[metrics]\nstatsd = unix:", f"[metrics] statsd: 'unix:' has no path; {STATSD}"),
    ("[metrics]\nenabled = no\nstatsd = a:1", "[metrics] statsd: has no effect without enabled = true"),
    (
        "[metrics]\nstatsd_prefix = a b",
        "[metrics] statsd_prefix: 'a b' is not a prefix; allowed: "
        "1 to 100 letters, digits, dots, underscores and hyphens",
    ),
    ("[metrics]\nenabled = no\ngroups = a/b/c", "[metrics] groups: has no effect without enabled = true"),
    (
        "[metrics]\ngroups = shop/orders",
        "[metrics] groups: 'shop/orders' is not application/queue/group; "
        "allowed: patterns as application/queue/group, one a line",
    ),
    ("[metrics]\nqueue_limit = 0", "[metrics] queue_limit: '0' is out of range; allowed: 1 to 10000"),
    (
        "[metrics]\nqueues = shop",
        "[metrics] queues: 'shop' is not application/queue; allowed: patterns as application/queue, one a line",
    ),
    ("[metrics]\ngroup_limit = 0", "[metrics] group_limit: '0' is out of range; allowed: 1 to 10000"),
    ("[tracing]\nendpoint = collector:4318", f"[tracing] endpoint: 'collector:4318' is no URL of https; {ENDPOINT}"),
    (
        "[tracing]\nendpoint = http://collector:4318/",
        f"[tracing] endpoint: 'http://collector:4318/' has no path; {ENDPOINT}; "
        "did you mean http://collector:4318/v1/traces?",
    ),
    (
        "[tracing]\nendpoint = https://c.example.org/t?key=x",
        "[tracing] endpoint: 'https://c.example.org/t?key=x' has a query, which would appear in the log; put keys "
        f"into headers; {ENDPOINT}",
    ),
    ("[tracing]\nheaders = X-Key a-secret", f"[tracing] headers: field 1 {NO_FIELD}"),
    ("[tracing]\nheaders =\n  A: b\n  X-Key: a-secr\u00e9t", f"[tracing] headers: field 2 {NO_FIELD}"),
    (
        "[tracing]\nheaders =\n  A: b\n  a: a-secret",
        f"[tracing] headers: field 2 has a name that was given before; {FIELDS}",
    ),
    (
        "[tracing]\nservice_name = \u00e9",
        "[tracing] service_name: '\u00e9' is not a name of a service; allowed: 1 to 100 characters of printable ASCII",
    ),
    ("[tracing]\nratio = all", "[tracing] ratio: 'all' is not a number; allowed: 0 to 1"),
    ("[logging]\nformat = xml", "[logging] format: 'xml' is not known; allowed: text, json"),
    ("[logging]\nfle = x", "[logging] fle: is not known; allowed: file, format, level; did you mean file?"),
    (
        "[application:app]\nguarantee = exactly-once\nconsistency = weak",
        "[application:app] guarantee: exactly-once cannot be kept with consistency = weak",
    ),
    (
        "[storage]\nbackend = cassandra\nprotocol = thrift\n[application:app]\nguarantee = exactly-once",
        "[application:app] guarantee: exactly-once cannot be kept with protocol = thrift, over which there are no "
        "consumer groups",
    ),
    (
        "[storage]\nbackend = cassandra\nprotocol = thrift\n[application:app]\nguarantee = at-most-once",
        "[application:app] guarantee: at-most-once cannot be kept with protocol = thrift, over which there are no "
        "consumer groups",
    ),
    (
        "[storage]\nbackend = cassandra\nmulti_dc = true\n[application:app]\nguarantee = at-most-once",
        "[application:app] guarantee: at-most-once cannot be kept with multi_dc unless consistency = very_strong",
    ),
    (
        "[application:app]\nguarantee = at-least",
        "[application:app] guarantee: 'at-least' is not known; allowed: at-most-once, at-least-once, exactly-once; did "
        "you mean at-least-once?",
    ),
    (
        "[application:app]\nconsistency = very-stong",
        "[application:app] consistency: 'very-stong' is not known; allowed: weak, strong, very_strong; "
        "did you mean very_strong?",
    ),
    (
        "[application:app]\ncreate_queues = on-read",
        "[application:app] create_queues: 'on-read' is not known; allowed: explicit, on-write; did you mean on-write?",
    ),
    (
        "[application:app]\nidempotency_ttl = 31d",
        "[application:app] idempotency_ttl: '31d' is out of range; allowed: 60 to 2592000 seconds",
    ),
    (
        "[application:app]\nttl = 1.5",
        "[application:app] ttl: '1.5' is not a whole number of seconds; allowed: 1 to 33554432 seconds",
    ),
    (
        "[application:app]\nttl = 2 days",
        "[application:app] ttl: 'days' is not a unit of time: s, m, h, d; allowed: 1 to 33554432 seconds; "
        "did you mean 2d?",
    ),
    (
        "[application:app]\nttl = 5ms",
        "[application:app] ttl: 'ms' is not a unit of time: s, m, h, d; allowed: 1 to 33554432 seconds",
    ),
    (
        "[server]\nidle_timeout = 1h30m",
        "[server] idle_timeout: '1h30m' is not a time, such as 90, 90s, 15m, 6h or 3d; allowed: 0.1 to 86400 seconds",
    ),
    (
        "[server]\nmax_body = 2MiB # two megs",
        "[server] max_body: '2MiB # two megs' is not a size; a comment needs a line of its own; "
        "allowed: 1 byte to 256MiB",
    ),
    ("[application:app]\nmax_bytes = x", "[application:app] max_bytes: 'x' is not a size; allowed: 1 byte to 1024TiB"),
    (
        "[application:app]\nmax_body = 2MiB",
        "[application:app] max_body: is above that of [server], which is 1MiB; "
        "allowed: 1 byte to the max_body of [server]",
    ),
    (
        "[application:app]\ncors_origins = https://A.example/",
        f"[application:app] cors_origins: 'https://A.example/' is not an origin; {ORIGINS}; did you mean https://a.example?",
    ),
    ("[application:app]\ncors_origins = null", f"[application:app] cors_origins: 'null' is not an origin; {ORIGINS}"),
    (
        "[application:app]\ncors_origins = https://a/p",
        f"[application:app] cors_origins: 'https://a/p' is not an origin; {ORIGINS}",
    ),
    (
        "[application:app]\ncors_origins = http://a:80",
        f"[application:app] cors_origins: 'http://a:80' names the port that browsers leave out; {ORIGINS}; "
        "did you mean http://a?",
    ),
    (
        "[application:app]\ncors_origins = http://a:99999",
        f"[application:app] cors_origins: 'http://a:99999' has an invalid port; {ORIGINS}",
    ),
    (
        "[application:app]\ncors_origins = *, http://a",
        f"[application:app] cors_origins: * means all origins and must be the only value; {ORIGINS}",
    ),
    (
        "[application:app]\nrequest_rate = 1e3",
        "[application:app] request_rate: '1e3' is not a number; allowed: 0.001 to 1000000 a second",
    ),
    (
        "[application:app]\nqueue_message_burst = 5",
        "[application:app] queue_message_burst: has no effect without queue_message_rate",
    ),
    ("[application:app]\nkey = x", f"[application:app] key: is not known; {APPLICATION_KEYS}; did you mean keys?"),
    ("[application:a b]", f"[application:a b]: is not a name of an application; {NAMES}"),
    ("[application:]", f"[application:]: is not a name of an application; {NAMES}"),
    ("[application: app ]\n[application:app]", "[application:app]: is the same application as [application: app]"),
    (
        "[application:app]\nkeys = two words-in-it",
        "[application:app] keys: a key has a space, a comma, a semicolon or a character outside ASCII, and cannot be "
        f"sent; {KEYS}",
    ),
    (
        "[application:app]\nkeys = sha256:0123",
        f"[application:app] keys: a digest is not 64 hex digits after sha256:; {KEYS}",
    ),
    (
        f"[application:other]\nkeys = {KEY}",
        "application other: has the same key as application app; each needs its own",
    ),
    ("[server:main]\nport = x", "[server:main] port: 'x' is no port: 0 to 65535"),
    ("[server:main]\nhost = example.org", "[server:main] host: 'example.org' is not the IP address of an interface"),
)


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
