"""The table of all settings: what each is called, its default, what it may be, and what a change of it needs.

The documentation is held against this table by a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs

from queuey.config import clusters, collectors, groups, statsd, urls, values
from queuey.config.endpoints import endpoints, operators
from queuey.model import fields
from queuey.model.fields import Number, Real, Whole
from queuey.model.queue import Consistency, Guarantee

T = TypeVar("T")

RELOAD: Final = "SIGHUP"
"""A change is taken over when the daemon is sent SIGHUP."""

ALL_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""The signature algorithms for tokens: asymmetric ones only, because only public keys are available here."""

RESTART: Final = "restart"
"""A change takes effect when the daemon is restarted."""


@attrs.frozen
class Key(Generic[T]):
    """One setting.

    :ivar default: as text of the file; an empty value in a file stands for it.
    :ivar allowed: what it may be, in words.
    :ivar change: what a change of it needs.
    """

    section: str
    name: str
    default: str
    allowed: str
    change: str
    read: values.Read[T] = attrs.field(repr=False, eq=False)

    @property
    def place(self) -> str:
        """The name of the setting in messages."""
        return f"[{self.section}] {self.name}"


def _text(text: str, base: Path) -> str:
    return text


def _number(field: Whole) -> Key[int]:
    """A number of an application that has a default."""
    read = values.integer(field.low, field.high)
    return Key("application:NAME", field.name, str(field.default), field.allowed, RELOAD, read)


def _limit(field: Number) -> Key[Any]:
    """A limit of an application, which it does not have unless it is given."""
    read: values.Read[Any]
    if isinstance(field, Real):
        read, allowed = values.rate(field.low, field.high), field.allowed
    elif field.unit == "bytes":
        read, allowed = values.size(field.low, field.high), f"1 byte to {values.size_text(field.high)}"
    else:
        read, allowed = values.integer(field.low, field.high), field.allowed
    return Key("application:NAME", field.name, "", allowed, RELOAD, values.optional(read))


HTTP: Final = Key(
    "server",
    "http",
    "tcp:5000:interface=127.0.0.1",
    "endpoints of kind tcp, tcp6, ssl, unix or systemd, one a line",
    RESTART,
    endpoints,
)
MAX_BODY: Final = Key("server", "max_body", "1MiB", "1 byte to 256MiB", RELOAD, values.size(1, fields.MAX_BODY.high))
MAX_HEADER: Final = Key("server", "max_header", "64KiB", "1KiB to 1MiB", RELOAD, values.size(1 << 10, 1 << 20))
HEADER_TIMEOUT: Final = Key("server", "header_timeout", "10", "0.1 to 3600 seconds", RELOAD, values.seconds(0.1, 3600))
REQUEST_TIMEOUT: Final = Key(
    "server", "request_timeout", "60", "0.1 to 86400 seconds", RELOAD, values.seconds(0.1, 86400)
)
IDLE_TIMEOUT: Final = Key("server", "idle_timeout", "75", "0.1 to 86400 seconds", RELOAD, values.seconds(0.1, 86400))
MAX_CONNECTIONS: Final = Key("server", "max_connections", "10000", "1 to 1000000", RELOAD, values.integer(1, 1_000_000))
STOP_TIMEOUT: Final = Key("server", "stop_timeout", "30", "0 to 3600 seconds", RELOAD, values.seconds(0, 3600))
DRAIN_PAUSE: Final = Key("server", "drain_pause", "0", "0 to 3600 seconds", RELOAD, values.seconds(0, 3600))
WORKERS: Final = Key("server", "workers", "1", "1 to 64", RESTART, values.integer(1, 64))
DISK_FLOOR: Final = Key("server", "disk_floor", "64MiB", "1 byte to 1024TiB", RELOAD, values.size(1, 1 << 50))
FORWARDED: Final = Key(
    "server",
    "forwarded",
    "",
    "addresses and networks, separated by spaces, commas or lines",
    RELOAD,
    values.networks,
)

OPS: Final = Key("server", "ops", "", HTTP.allowed, RESTART, operators)
OPS_TOKEN: Final = Key(
    "server",
    "ops_token",
    "",
    "16 or more characters, plain or as sha256: and 64 hex digits",
    RELOAD,
    values.optional(values.token),
)
OPS_HOSTS: Final = Key(
    "server", "ops_hosts", "", "names and addresses, separated by spaces, commas or lines", RELOAD, values.hosts
)
OPS_BACKUPS: Final = Key("server", "ops_backups", "", "a folder", RELOAD, values.optional(values.path))

FILE_GROUP: Final = Key("server", "file_group", "", "a group of this machine", RESTART, values.file_group)

MAX_AGE: Final = Key("applications", "max_age", "1", "0 to 1 seconds", RELOAD, values.seconds(0, 1))

BACKEND: Final = Key("storage", "backend", "sqlite", "sqlite, memory, cassandra", RESTART, _text)
PATH: Final = Key("storage", "path", "./queuey-data", "a folder", RESTART, values.path)
DURABILITY: Final = Key("storage", "durability", "full", "full, relaxed", RESTART, values.word("full", "relaxed"))
CACHE: Final = Key("storage", "cache", "16MiB", "1MiB to 64GiB", RESTART, values.size(1 << 20, 64 << 30))
MEMORY_MAX_BYTES: Final = Key("storage", "max_bytes", "256MiB", "1KiB to 1TiB", RESTART, values.size(1 << 10, 1 << 40))
HOST: Final = Key(
    "storage", "host", "127.0.0.1", "nodes as host or host:port, separated by commas", RESTART, clusters.nodes
)
DATABASE: Final = Key(
    "storage",
    "database",
    "queuey",
    "a keyspace: a letter, and at most 47 more letters, digits and underscores",
    RESTART,
    clusters.keyspace,
)
REPLICATION: Final = Key(
    "storage",
    "replication",
    "1",
    "1 to 100, or one for each data centre as dc1:3, dc2:3",
    RESTART,
    clusters.replication,
)
LOCAL_DC: Final = Key("storage", "local_dc", "", "a data centre", RESTART, clusters.centre)
MULTI_DC: Final = Key("storage", "multi_dc", "false", "true, false", RESTART, values.boolean)
USERNAME: Final = Key("storage", "username", "", "a name", RESTART, values.optional(_text))
PASSWORD: Final = Key("storage", "password", "", "a password", RESTART, values.optional(_text))
PROTOCOL: Final = Key("storage", "protocol", "cql", "cql, thrift", RESTART, values.word("cql", "thrift"))
CREATE_SCHEMA: Final = Key("storage", "create_schema", "true", "true, false", RESTART, values.boolean)
FRONTENDS: Final = Key("storage", "frontends", "one", "one, many", RESTART, values.word("one", "many"))
WRITE_TIMEOUT: Final = Key("storage", "write_timeout", "2", "0.1 to 60 seconds", RESTART, values.seconds(0.1, 60))
CLOCK_SKEW: Final = Key("storage", "clock_skew", "0.5", "0.01 to 60 seconds", RESTART, values.seconds(0.01, 60))
BASE_DELAY: Final = Key("storage", "base_delay", "0", "0 to 3600 seconds", RESTART, values.seconds(0, 3600))
STORAGE_TIMEOUT: Final = Key("storage", "request_timeout", "3", "0.1 to 60 seconds", RESTART, values.seconds(0.1, 60))
IN_FLIGHT: Final = Key("storage", "in_flight", "256", "1 to 32768", RESTART, values.integer(1, 32768))
TLS: Final = Key("storage", "tls", "false", "true, false", RESTART, values.boolean)
TLS_AUTHORITIES: Final = Key("storage", "tls_authorities", "", "a file", RESTART, values.optional(values.path))
TLS_CERTIFICATE: Final = Key("storage", "tls_certificate", "", "a file", RESTART, values.optional(values.path))
TLS_KEY: Final = Key("storage", "tls_key", "", "a file", RESTART, values.optional(values.path))
TLS_CHECK: Final = Key(
    "storage",
    "tls_check",
    "address",
    "address, authority, nothing",
    RESTART,
    values.word("address", "authority", "nothing"),
)
METADATA: Final = Key("metadata", "backend", "", "the backend of [storage]", RESTART, _text)

_SERVICE: Final = "a URL of https, or of http on this machine"
VERIFIER: Final = Key("browserid", "verifier", "", _SERVICE, RELOAD, values.optional(urls.service))
BROWSERID_AUDIENCE: Final = Key(
    "browserid", "audience", "", "an origin, as assertions name it", RELOAD, values.optional(_text)
)
BROWSERID_ISSUERS: Final = Key(
    "browserid",
    "issuers",
    "",
    "hosts, separated by spaces, commas or lines",
    RELOAD,
    lambda text, base: values.items(text),
)
BROWSERID_TIMEOUT: Final = Key("browserid", "timeout", "5", "0.1 to 60 seconds", RELOAD, values.seconds(0.1, 60))
BROWSERID_REMEMBER: Final = Key("browserid", "remember", "300", "0 to 86400 seconds", RELOAD, values.seconds(0, 86400))
ISSUER: Final = Key("jwt:NAME", "issuer", "", _SERVICE, RELOAD, values.optional(urls.issuer))
AUDIENCE: Final = Key(
    "jwt:NAME",
    "audience",
    "",
    "what tokens name as their audience, one or several, separated by spaces, commas or lines",
    RELOAD,
    lambda text, base: values.items(text),
)
ALGORITHMS: Final = Key(
    "jwt:NAME",
    "algorithms",
    "RS256",
    f"one or several of {', '.join(ALL_ALGORITHMS)}",
    RELOAD,
    values.several(*ALL_ALGORITHMS),
)
PRINCIPAL: Final = Key("jwt:NAME", "principal", "sub", "sub, email", RELOAD, values.word("sub", "email"))
LEEWAY: Final = Key("jwt:NAME", "leeway", "30", "0 to 300 seconds", RELOAD, values.seconds(0, 300))
ISSUER_TIMEOUT: Final = Key("jwt:NAME", "timeout", "5", "0.1 to 60 seconds", RELOAD, values.seconds(0.1, 60))
ISSUER_KEYS: Final = Key("jwt:NAME", "keys_for", "3600", "60 to 86400 seconds", RELOAD, values.seconds(60, 86400))
ISSUER_REMEMBER: Final = Key("jwt:NAME", "remember", "300", "0 to 3600 seconds", RELOAD, values.seconds(0, 3600))

GUARANTEE: Final = Key(
    "application:NAME",
    "guarantee",
    "at-least-once",
    "at-most-once, at-least-once, exactly-once",
    RELOAD,
    values.member(*Guarantee),
)
CONSISTENCY: Final = Key(
    "application:NAME", "consistency", "strong", "weak, strong, very_strong", RELOAD, values.member(*Consistency)
)
CREATE_QUEUES: Final = Key(
    "application:NAME",
    "create_queues",
    "explicit",
    "explicit, on-write",
    RELOAD,
    values.word("explicit", "on-write"),
)
TTL: Final = _number(fields.TTL)
IDEMPOTENCY_TTL: Final = _number(fields.IDEMPOTENCY_TTL)
CORS_ORIGINS: Final = Key(
    "application:NAME",
    "cors_origins",
    "",
    "origins as scheme://host[:port], separated by spaces, commas or lines, or *",
    RELOAD,
    values.origins,
)
IDENTITIES: Final = Key(
    "application:NAME",
    "identities",
    "",
    "browserid and names of [jwt:NAME], separated by spaces, commas or lines",
    RELOAD,
    lambda text, base: values.items(text),
)
SIGNED_URLS: Final = Key("application:NAME", "signed_urls", "false", "true, false", RELOAD, values.boolean)
KEYS: Final = Key(
    "application:NAME",
    "keys",
    "",
    "keys, one a line, plain or as sha256: and 64 hex digits",
    RELOAD,
    _text,
)
MAX_QUEUES: Final = _limit(fields.MAX_QUEUES)
MAX_BYTES: Final = _limit(fields.APPLICATION_BYTES)
MAX_MESSAGES: Final = _limit(fields.MAX_MESSAGES)
MAX_QUEUE_BYTES: Final = _limit(fields.MAX_QUEUE_BYTES)
MAX_QUEUE_MESSAGES: Final = _limit(fields.MAX_QUEUE_MESSAGES)
MAX_GROUPS: Final = _limit(fields.MAX_GROUPS)
MAX_WAITS: Final = _limit(fields.MAX_WAITS)
MAX_QUEUE_WAITS: Final = _limit(fields.MAX_QUEUE_WAITS)
REQUEST_RATE: Final = _limit(fields.REQUEST_RATE)
REQUEST_BURST: Final = _limit(fields.REQUEST_BURST)
MESSAGE_RATE: Final = _limit(fields.MESSAGE_RATE)
MESSAGE_BURST: Final = _limit(fields.MESSAGE_BURST)
QUEUE_REQUEST_RATE: Final = _limit(fields.QUEUE_REQUEST_RATE)
QUEUE_REQUEST_BURST: Final = _limit(fields.QUEUE_REQUEST_BURST)
QUEUE_MESSAGE_RATE: Final = _limit(fields.QUEUE_MESSAGE_RATE)
QUEUE_MESSAGE_BURST: Final = _limit(fields.QUEUE_MESSAGE_BURST)
APPLICATION_MAX_BODY: Final = Key(
    "application:NAME",
    "max_body",
    "",
    "1 byte to the max_body of [server]",
    RELOAD,
    values.optional(values.size(1, fields.MAX_BODY.high)),
)
APPLICATION_KEYS: Final = Key("application_keys", "NAME", "", KEYS.allowed, RELOAD, _text)

LOG_FILE: Final = Key("logging", "file", "", "a file", RESTART, values.optional(values.path))
LOG_FORMAT: Final = Key("logging", "format", "text", "text, json", RESTART, values.word("text", "json"))
LOG_LEVEL: Final = Key(
    "logging", "level", "info", "debug, info, warn, error", RELOAD, values.word("debug", "info", "warn", "error")
)

METERING: Final = Key("metrics", "enabled", "true", "true, false", RESTART, values.boolean)
STATSD: Final = Key(
    "metrics",
    "statsd",
    "",
    "host:port, or unix: and the path of a socket",
    RESTART,
    values.optional(statsd.address),
)
STATSD_PREFIX: Final = Key(
    "metrics",
    "statsd_prefix",
    "queuey",
    "1 to 100 letters, digits, dots, underscores and hyphens",
    RESTART,
    statsd.prefix,
)
STATSD_EVERY: Final = Key("metrics", "statsd_every", "10", "1 to 3600 seconds", RESTART, values.seconds(1, 3600))
FOLLOWED_GROUPS: Final = Key(
    "metrics", "groups", "", "patterns as application/queue/group, one a line", RELOAD, groups.patterns
)
GROUP_LIMIT: Final = Key("metrics", "group_limit", "100", "1 to 10000", RELOAD, values.integer(1, 10_000))
GROUP_EVERY: Final = Key("metrics", "group_every", "10", "1 to 3600 seconds", RELOAD, values.seconds(1, 3600))

TRACES: Final = Key(
    "tracing",
    "endpoint",
    "",
    "a URL of https or http, such as http://127.0.0.1:4318/v1/traces",
    RESTART,
    values.optional(collectors.endpoint),
)
TRACE_HEADERS: Final = Key(
    "tracing", "headers", "", "header fields as name: value, one a line", RESTART, collectors.headers
)
SERVICE_NAME: Final = Key(
    "tracing", "service_name", "queuey", "1 to 100 characters of printable ASCII", RESTART, collectors.name
)
RATIO: Final = Key("tracing", "ratio", "1", "0 to 1", RESTART, values.rate(0, 1))
MAX_SPANS: Final = Key("tracing", "max_spans", "8192", "1 to 1000000", RESTART, values.integer(1, 1_000_000))
EXPORT_TIMEOUT: Final = Key("tracing", "export_timeout", "10", "0.1 to 60 seconds", RESTART, values.seconds(0.1, 60))
FLUSH_TIMEOUT: Final = Key("tracing", "flush_timeout", "5", "0.1 to 60 seconds", RESTART, values.seconds(0.1, 60))

SERVER: Final[tuple[Key[Any], ...]] = (
    HTTP,
    MAX_BODY,
    MAX_HEADER,
    HEADER_TIMEOUT,
    REQUEST_TIMEOUT,
    IDLE_TIMEOUT,
    MAX_CONNECTIONS,
    STOP_TIMEOUT,
    DRAIN_PAUSE,
    WORKERS,
    DISK_FLOOR,
    FORWARDED,
    OPS,
    OPS_TOKEN,
    OPS_HOSTS,
    OPS_BACKUPS,
    FILE_GROUP,
)
STORAGE: Final[dict[str, tuple[Key[Any], ...]]] = {
    "sqlite": (BACKEND, PATH, DURABILITY, CACHE),
    "memory": (BACKEND, MEMORY_MAX_BYTES),
    "cassandra": (
        BACKEND,
        HOST,
        DATABASE,
        REPLICATION,
        LOCAL_DC,
        MULTI_DC,
        USERNAME,
        PASSWORD,
        PROTOCOL,
        CREATE_SCHEMA,
        FRONTENDS,
        WRITE_TIMEOUT,
        CLOCK_SKEW,
        BASE_DELAY,
        STORAGE_TIMEOUT,
        IN_FLIGHT,
        TLS,
        TLS_AUTHORITIES,
        TLS_CERTIFICATE,
        TLS_KEY,
        TLS_CHECK,
    ),
}
"""The keys of ``[storage]``, for each backend."""

BROWSERID: Final[tuple[Key[Any], ...]] = (
    VERIFIER,
    BROWSERID_AUDIENCE,
    BROWSERID_ISSUERS,
    BROWSERID_TIMEOUT,
    BROWSERID_REMEMBER,
)
JWT: Final[tuple[Key[Any], ...]] = (
    ISSUER,
    AUDIENCE,
    ALGORITHMS,
    PRINCIPAL,
    LEEWAY,
    ISSUER_TIMEOUT,
    ISSUER_KEYS,
    ISSUER_REMEMBER,
)
SIZES: Final[tuple[Key[Any], ...]] = (MAX_BYTES, MAX_QUEUE_BYTES)
"""The limits of an application that are bytes."""

BURSTS: Final[tuple[tuple[Key[Any], Key[Any]], ...]] = (
    (REQUEST_RATE, REQUEST_BURST),
    (MESSAGE_RATE, MESSAGE_BURST),
    (QUEUE_REQUEST_RATE, QUEUE_REQUEST_BURST),
    (QUEUE_MESSAGE_RATE, QUEUE_MESSAGE_BURST),
)
"""Each rate, and what goes with it."""

LIMITS: Final[tuple[Key[Any], ...]] = (
    MAX_QUEUES,
    MAX_BYTES,
    MAX_MESSAGES,
    MAX_QUEUE_BYTES,
    MAX_QUEUE_MESSAGES,
    MAX_GROUPS,
    MAX_WAITS,
    MAX_QUEUE_WAITS,
    *(key for pair in BURSTS for key in pair),
)
"""The limits of an application; a policy has each of them under the same name."""

APPLICATION: Final[tuple[Key[Any], ...]] = (
    GUARANTEE,
    CONSISTENCY,
    CREATE_QUEUES,
    TTL,
    IDEMPOTENCY_TTL,
    CORS_ORIGINS,
    IDENTITIES,
    SIGNED_URLS,
    KEYS,
    *LIMITS,
    APPLICATION_MAX_BODY,
)
APPLICATIONS: Final[tuple[Key[Any], ...]] = (MAX_AGE,)
LOGGING: Final[tuple[Key[Any], ...]] = (LOG_FILE, LOG_FORMAT, LOG_LEVEL)
METRICS: Final[tuple[Key[Any], ...]] = (
    METERING,
    STATSD,
    STATSD_PREFIX,
    STATSD_EVERY,
    FOLLOWED_GROUPS,
    GROUP_LIMIT,
    GROUP_EVERY,
)
TRACING: Final[tuple[Key[Any], ...]] = (
    TRACES,
    TRACE_HEADERS,
    SERVICE_NAME,
    RATIO,
    MAX_SPANS,
    EXPORT_TIMEOUT,
    FLUSH_TIMEOUT,
)

TABLE: Final[tuple[Key[Any], ...]] = (
    *SERVER,
    *STORAGE["sqlite"],
    MEMORY_MAX_BYTES,
    *STORAGE["cassandra"][1:],
    METADATA,
    *BROWSERID,
    *JWT,
    APPLICATION_KEYS,
    *APPLICATION,
    *APPLICATIONS,
    *LOGGING,
    *METRICS,
    *TRACING,
)
"""Every key."""
