"""The first version's ini files work as they are, with either of its backends."""

from __future__ import annotations

from queuey.config import CassandraStorage, MemoryStorage
from queuey.config.legacy import CASSANDRA_KEYS
from tests.config.support import APPLICATION, SettingsTestCase

FIRST = """\
# The first version's settings for development.
[global]
logger_name = queuey
debug = false

[metlog]
logger = queuey
backend = metlog.senders.StdOutSender
sender_class = metlog.senders.StdOutSender

[storage]
backend = queuey.storage.memory.MemoryQueueBackend
host = localhost

[metadata]
backend = queuey.storage.memory.MemoryMetadata
host = localhost

[application_keys]
queuey = f25bfb8fe200475c8a0532a9cbe7651e

[filter:catcherror]
paste.filter_app_factory = mozsvc.middlewares:make_err_mdw

[pipeline:main]
pipeline = catcherror
           pyramidapp

[app:pyramidapp]
use = egg:queuey

[server:main]
use = egg:Paste#http
host = 0.0.0.0
port = 5001

# Logging
[loggers]
keys = root, queuey
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = INFO
handlers = console
[logger_queuey]
level = DEBUG
handlers =
qualname = queuey
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(asctime)s %(levelname)-5.5s [%(name)s][%(threadName)s] %(message)s
"""

CASSANDRA = """\
cassandra.CassandraQueueBackend
host = localhost, 10.0.0.2:9043
username = me
password = hush
database = MessageStore
multi_dc = True
create_schema = false
base_delay = 1"""

ACCESS = "the access lines of the log, set up by [logging], take its place"
REQUESTS = "is passed over: the daemon has its own way of requests, set up by [server]"
LOGGING = "is passed over: [logging] takes its place"
BACKEND = "is passed over: the memory backend has no use for it"


class FirstVersionTests(SettingsTestCase):
    def test_as_it_is(self) -> None:
        settings = self.load(FIRST)
        self.assertEqual(settings.storage, MemoryStorage(256 << 20))
        self.assertEqual(settings.server.http, ("tcp:5001:interface=0.0.0.0",))
        self.assertEqual([one.name for one in settings.applications], ["queuey"])
        self.assertEqual(
            self.warned(settings),
            [
                f"[global]: {LOGGING}",
                f"[metlog]: is passed over: {ACCESS}",
                f"[filter:catcherror]: {REQUESTS}",
                f"[pipeline:main]: {REQUESTS}",
                "[app:pyramidapp]: is passed over: the daemon is started by twistd queuey, and needs no such section",
                f"[loggers]: {LOGGING}",
                f"[handlers]: {LOGGING}",
                f"[formatters]: {LOGGING}",
                f"[logger_root]: {LOGGING}",
                f"[logger_queuey]: {LOGGING}",
                f"[handler_console]: {LOGGING}",
                f"[formatter_generic]: {LOGGING}",
                "[server:main]: host and port are read as [server] http = tcp:5001:interface=0.0.0.0; passed over: use",
                f"[storage] host: {BACKEND}",
                f"[metadata] host: {BACKEND}",
            ],
        )

    def test_cassandra(self) -> None:
        text = FIRST.replace("memory.MemoryQueueBackend\nhost = localhost", CASSANDRA).replace(
            "memory.MemoryMetadata\nhost = localhost",
            "cassandra.CassandraMetadata\nhost = other\nusername = you\npassword = hush\ndatabase = MetadataStore\n"
            "multi_dc = False\ncreate_schema = True",
        )
        settings = self.load(text)
        assert isinstance(settings.storage, CassandraStorage)
        storage = settings.storage
        self.assertEqual(storage.hosts, (("localhost", None), ("10.0.0.2", 9043)))
        self.assertEqual((storage.username, storage.password), ("me", "hush"))
        self.assertEqual((storage.keyspace, storage.multi_dc, storage.create_schema), ("messagestore", True, False))
        self.assertEqual(storage.base_delay, 1)
        lines = [line for line in self.warned(settings) if line.startswith("[metadata]")]
        passed = "is passed over: what [storage] has holds for queues too"
        names = ("host", "username", "password", "database", "multi_dc", "create_schema")
        self.assertEqual(lines, [f"[metadata] {name}: {passed}" for name in names])

    def test_every_key_of_a_dotted_backend(self) -> None:
        keys = "".join(f"{name} = x\n" for name in CASSANDRA_KEYS)
        settings = self.load(f"[storage]\nbackend = queuey.storage.memory.MemoryQueueBackend\n{keys}{APPLICATION}")
        self.assertEqual(self.warned(settings), [f"[storage] {name}: {BACKEND}" for name in CASSANDRA_KEYS])

    def test_the_metadata_twin_is_no_storage(self) -> None:
        (line,) = self.problems("[storage]\nbackend = queuey.storage.memory.MemoryMetadata\n")
        self.assertTrue(line.startswith("[storage] backend: queuey.storage.memory.MemoryMetadata is not known;"), line)

    def test_cef(self) -> None:
        settings = self.load("[cef]\nuse = no\n" + APPLICATION)
        self.assertEqual(self.warned(settings), [f"[cef]: is passed over: {ACCESS}"])


class ServerMainTests(SettingsTestCase):
    def endpoint(self, text: str) -> tuple[tuple[str, ...], list[str]]:
        settings = self.load(text + APPLICATION)
        return settings.server.http, self.warned(settings)

    def test_where_server_names_http(self) -> None:
        for host in ("host = 0.0.0.0\nport = 5001\n", "host = nonsense\n", ""):
            self.assertEqual(
                self.endpoint(f"[server]\nhttp = tcp:80\n[server:main]\n{host}"),
                (("tcp:80",), ["[server:main]: is passed over: [server] http takes its place"]),
            )

    def test_where_server_is_there_without_http(self) -> None:
        http, _ = self.endpoint("[server]\nmax_body = 1KiB\n[server:main]\nhost = ::1\nport = 80\n")
        self.assertEqual(http, ("tcp6:80:interface=\\:\\:1",))

    def test_half_of_it(self) -> None:
        read = "[server:main]: host and port are read as [server] http"
        self.assertEqual(
            self.endpoint("[server:main]\nport = 80\n"),
            (("tcp:80:interface=127.0.0.1",), [f"{read} = tcp:80:interface=127.0.0.1"]),
        )
        self.assertEqual(
            self.endpoint("[server:main]\nhost = 0.0.0.0\nthreads = 4\nuse = x\n"),
            (("tcp:5000:interface=0.0.0.0",), [f"{read} = tcp:5000:interface=0.0.0.0; passed over: threads, use"]),
        )

    def test_nothing_of_it(self) -> None:
        http, warned = self.endpoint("[server:main]\nuse = x\n")
        self.assertEqual(http, ("tcp:5000:interface=127.0.0.1",))
        self.assertEqual(warned, ["[server:main]: is passed over: [server] http takes its place"])

    def test_both_wrong(self) -> None:
        self.assertEqual(
            self.problems("[server:main]\nhost = here\nport = 99999\n"),
            [
                "[server:main] port: '99999' is no port: 0 to 65535",
                "[server:main] host: 'here' is not the IP address of an interface",
            ],
        )
