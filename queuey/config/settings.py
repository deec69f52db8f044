"""The settings as frozen values, how they are shown, and what of them a running daemon can take over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import attrs

from queuey.config import keys
from queuey.config.clusters import NodeAddress, Replication, nodes_text, replication_text
from queuey.config.statsd import StatsdAddress, address_text
from queuey.config.values import Network, seconds_text, size_text
from queuey.file_modes import OWN_USER, FileModes
from queuey.model.group_pattern import GroupPattern
from queuey.model.policy import Policy


@attrs.frozen
class OpsSettings:
    """The operators' port.

    :ivar listen: endpoint descriptions as Twisted reads them; none is no port.
    :ivar token: the SHA-256 digest of the token that has to be shown, or ``None``.
    :ivar hosts: names of this machine by which it may be asked for, besides those of loopback.
    :ivar backups: the folder in which backups are made, or ``None``: none are.
    """

    listen: tuple[str, ...] = ()
    token: bytes | None = attrs.field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    backups: Path | None = None


@attrs.frozen
class ServerSettings:
    """The door.

    :ivar http: endpoint descriptions as Twisted reads them.
    :ivar max_body: bytes of one request's body.
    :ivar max_header: bytes of one request's line and headers.
    :ivar header_timeout: seconds for the line and the headers of a request to arrive.
    :ivar request_timeout: seconds for a whole request to arrive.
    :ivar idle_timeout: seconds that a connection may be idle between requests.
    :ivar stop_timeout: seconds for what is under way when the daemon is to stop.
    :ivar drain_pause: seconds for which it goes on accepting before that, though it says that it is not ready.
    :ivar disk_floor: bytes that are free where the data is, or it is not ready.
    :ivar forwarded: proxies whose ``X-Forwarded-For`` is believed.
    :ivar ops: the operators' port.
    :ivar workers: processes that serve requests; 1: the daemon itself does.
    :ivar modes: of the files that the daemon makes.
    """

    http: tuple[str, ...]
    max_body: int
    max_header: int
    header_timeout: float
    request_timeout: float
    idle_timeout: float
    max_connections: int
    stop_timeout: float
    drain_pause: float
    disk_floor: int
    forwarded: tuple[Network, ...]
    ops: OpsSettings = OpsSettings()
    workers: int = 1
    modes: FileModes = OWN_USER


@attrs.frozen
class SQLiteStorage:
    """The embedded store.

    :ivar path: its folder.
    :ivar durability: ``full``, or ``relaxed``: the last writes may be lost with the power.
    :ivar cache_bytes: of each connection.
    :ivar modes: of its files; those of ``ServerSettings``.
    """

    path: Path
    durability: str
    cache_bytes: int
    modes: FileModes = OWN_USER


@attrs.frozen
class MemoryStorage:
    """The store that ends with the process.

    :ivar max_bytes: at which appends are refused.
    """

    max_bytes: int


@attrs.frozen
class ClusterTLS:
    """TLS to the nodes of a cluster.

    :ivar authorities: the certificates of the authorities that sign those of the nodes; ``None`` for the system's.
    :ivar certificate: our own, with its key in ``key`` or in the same file.
    :ivar check: how a node's certificate is verified: ``address``, ``authority`` or ``nothing``.
    """

    authorities: Path | None
    certificate: Path | None
    key: Path | None
    check: str


@attrs.frozen
class CassandraStorage:
    """The store in a keyspace of a cluster. Times are in seconds.

    :ivar hosts: nodes, with their ports where they are named.
    :ivar replication: copies of each row in each data centre, or by data centre; for a keyspace that is made.
    :ivar protocol: ``cql`` or ``thrift``.
    :ivar frontends: ``one``, or ``many`` serve from the keyspace.
    :ivar write_timeout: from the stamping of an id to the acknowledgement of its write.
    :ivar clock_skew: how far apart the clocks of two front ends may be.
    :ivar base_delay: for which messages are withheld beyond that.
    :ivar in_flight: requests that wait for the cluster at once.
    """

    hosts: tuple[NodeAddress, ...]
    keyspace: str
    replication: Replication
    local_dc: str | None
    multi_dc: bool
    username: str | None
    password: str | None = attrs.field(repr=False)
    protocol: str
    create_schema: bool
    frontends: str
    write_timeout: float
    clock_skew: float
    base_delay: float
    request_timeout: float
    in_flight: int
    tls: ClusterTLS | None


Storage = SQLiteStorage | MemoryStorage | CassandraStorage
"""The settings of a back end."""


@attrs.frozen
class LoggingSettings:
    """Settings of the log.

    :ivar file: ``None`` is standard error.
    :ivar format: ``text`` or ``json``.
    :ivar level: ``debug``, ``info``, ``warn`` or ``error``.
    :ivar modes: of the file; those of ``ServerSettings``.
    """

    file: Path | None
    format: str
    level: str
    modes: FileModes = OWN_USER


@attrs.frozen
class MetricsSettings:
    """The metrics that are kept and exported.

    :ivar enabled: whether there are any.
    :ivar statsd: the address of a statsd server that gets them as well; ``None`` for none.
    :ivar prefix: the prefix of their names there.
    :ivar every: seconds between two reports to it.
    :ivar groups: the consumer groups that are measured, at most ``group_limit`` of them.
    :ivar group_every: seconds from the start of one round of measurements to the start of the next.
    """

    enabled: bool = True
    statsd: StatsdAddress | None = None
    prefix: str = keys.STATSD_PREFIX.default
    every: float = float(keys.STATSD_EVERY.default)
    groups: tuple[GroupPattern, ...] = ()
    group_limit: int = int(keys.GROUP_LIMIT.default)
    group_every: float = float(keys.GROUP_EVERY.default)


@attrs.frozen
class TracingSettings:
    """The export of traces. Times are in seconds.

    :ivar endpoint: the URL of a collector; ``None`` switches tracing off.
    :ivar headers: header fields of each request to it.
    :ivar service_name: the service name of the spans.
    :ivar ratio: the share of the traces that begin here which is recorded.
    :ivar max_spans: the greatest number of spans that wait for their export.
    :ivar export_timeout: the limit for one export.
    :ivar flush_timeout: the limit for the remaining spans when the daemon stops.
    """

    endpoint: str | None = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    service_name: str = keys.SERVICE_NAME.default
    ratio: float = float(keys.RATIO.default)
    max_spans: int = int(keys.MAX_SPANS.default)
    export_timeout: float = float(keys.EXPORT_TIMEOUT.default)
    flush_timeout: float = float(keys.FLUSH_TIMEOUT.default)


@attrs.frozen
class BrowserIDSettings:
    """Settings for checking BrowserID assertions. Times are in seconds.

    :ivar verifier: the URL of what verifies them.
    :ivar audience: whom they have to be meant for.
    :ivar issuers: hosts that are trusted with all addresses; others are with their own.
    :ivar timeout: for an answer of the verifier.
    :ivar remember: for which an assertion that was true is not looked at again.
    """

    verifier: str
    audience: str
    issuers: tuple[str, ...]
    timeout: float
    remember: float


@attrs.frozen
class IssuerSettings:
    """An issuer of tokens. Times are in seconds.

    :ivar name: the name by which applications refer to it.
    :ivar issuer: its URL.
    :ivar audience: the audiences that its tokens may have.
    :ivar algorithms: the algorithms that may sign them.
    :ivar principal: ``email`` or ``sub``: the claim of a token that says who the user is.
    :ivar leeway: the tolerated difference between its clock and ours.
    :ivar timeout: the limit for fetching one of its documents.
    :ivar keys: how long its keys are used before they are fetched again.
    :ivar remember: how long a valid token is cached without another check.
    """

    name: str
    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    principal: str
    leeway: float
    timeout: float
    keys: float
    remember: float


@attrs.frozen
class IdentitySettings:
    """The identity providers."""

    browserid: BrowserIDSettings | None = None
    issuers: tuple[IssuerSettings, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of providers that applications may use."""
        return (*(("browserid",) if self.browserid else ()), *(issuer.name for issuer in self.issuers))


@attrs.frozen
class ApplicationSettings:
    """One application.

    :ivar digests: the SHA-256 digests of its keys.
    """

    name: str
    digests: frozenset[bytes] = attrs.field(repr=False)
    policy: Policy


@attrs.frozen
class Settings:
    """All settings of a daemon.

    :ivar source: the file they are from, ``None`` for the built-in ones.
    :ivar applications: by name.
    :ivar max_age: seconds for which what is known of applications in the store is in force without another look.
    :ivar warnings: one line each, of what the file's owner should know.
    :ivar identities: who is asked about users.
    """

    source: Path | None
    server: ServerSettings
    storage: Storage
    applications: tuple[ApplicationSettings, ...]
    logging: LoggingSettings
    max_age: float
    warnings: tuple[str, ...] = ()
    identities: IdentitySettings = IdentitySettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    def describe(self) -> list[str]:
        """The settings in force, as lines of an ini file; keys are shown by their digests only."""
        lines = _section("server", _server(self.server))
        lines += ["", *_section("storage", _storage(self.storage))]
        lines += ["", *_section("applications", [(keys.MAX_AGE, seconds_text(self.max_age))])]
        lines += ["", *_section("logging", _logging(self.logging))]
        lines += ["", *_section("metrics", _metrics(self.metrics))]
        lines += ["", *_section("tracing", _tracing(self.tracing))]
        lines += _identities(self.identities)
        for application in self.applications:
            lines += ["", *_section(f"application:{application.name}", _application(application))]
        return lines


HIDDEN: Final = "(not shown)"
"""Stands for a password."""

Pairs = list[tuple[keys.Key[Any], str]]


def _section(name: str, pairs: Pairs) -> list[str]:
    lines = [f"[{name}]"]
    for key, text in pairs:
        lines += f"{key.name} = {text}".rstrip(" ").split("\n")
    return lines


def _lines(values: Iterable[str]) -> str:
    found = tuple(values)
    return found[0] if len(found) == 1 else "".join(f"\n    {value}" for value in found)


def _server(server: ServerSettings) -> Pairs:
    return [
        (keys.HTTP, _lines(server.http)),
        (keys.MAX_BODY, size_text(server.max_body)),
        (keys.MAX_HEADER, size_text(server.max_header)),
        (keys.HEADER_TIMEOUT, seconds_text(server.header_timeout)),
        (keys.REQUEST_TIMEOUT, seconds_text(server.request_timeout)),
        (keys.IDLE_TIMEOUT, seconds_text(server.idle_timeout)),
        (keys.MAX_CONNECTIONS, str(server.max_connections)),
        (keys.STOP_TIMEOUT, seconds_text(server.stop_timeout)),
        (keys.DRAIN_PAUSE, seconds_text(server.drain_pause)),
        (keys.WORKERS, str(server.workers)),
        (keys.DISK_FLOOR, size_text(server.disk_floor)),
        (keys.FORWARDED, " ".join(map(str, server.forwarded))),
        *_ops(server.ops),
        (keys.FILE_GROUP, server.modes.name),
    ]


def _ops(ops: OpsSettings) -> Pairs:
    return [
        (keys.OPS, _lines(ops.listen)),
        (keys.OPS_TOKEN, f"sha256:{ops.token.hex()}" if ops.token else ""),
        (keys.OPS_HOSTS, " ".join(ops.hosts)),
        (keys.OPS_BACKUPS, str(ops.backups or "")),
    ]


def _storage(storage: Storage) -> Pairs:
    if isinstance(storage, MemoryStorage):
        return [(keys.BACKEND, "memory"), (keys.MEMORY_MAX_BYTES, size_text(storage.max_bytes))]
    if isinstance(storage, CassandraStorage):
        return _cassandra(storage)
    return [
        (keys.BACKEND, "sqlite"),
        (keys.PATH, str(storage.path)),
        (keys.DURABILITY, storage.durability),
        (keys.CACHE, size_text(storage.cache_bytes)),
    ]


def _cassandra(storage: CassandraStorage) -> Pairs:
    return [
        (keys.BACKEND, "cassandra"),
        (keys.HOST, nodes_text(storage.hosts)),
        (keys.DATABASE, storage.keyspace),
        (keys.REPLICATION, replication_text(storage.replication)),
        (keys.LOCAL_DC, storage.local_dc or ""),
        (keys.MULTI_DC, _boolean(storage.multi_dc)),
        (keys.USERNAME, storage.username or ""),
        (keys.PASSWORD, HIDDEN if storage.password else ""),
        (keys.PROTOCOL, storage.protocol),
        (keys.CREATE_SCHEMA, _boolean(storage.create_schema)),
        (keys.FRONTENDS, storage.frontends),
        (keys.WRITE_TIMEOUT, seconds_text(storage.write_timeout)),
        (keys.CLOCK_SKEW, seconds_text(storage.clock_skew)),
        (keys.BASE_DELAY, seconds_text(storage.base_delay)),
        (keys.STORAGE_TIMEOUT, seconds_text(storage.request_timeout)),
        (keys.IN_FLIGHT, str(storage.in_flight)),
        *_tls(storage.tls),
    ]


def _tls(tls: ClusterTLS | None) -> Pairs:
    if tls is None:
        return [(keys.TLS, "false")]
    return [
        (keys.TLS, "true"),
        (keys.TLS_AUTHORITIES, str(tls.authorities or "")),
        (keys.TLS_CERTIFICATE, str(tls.certificate or "")),
        (keys.TLS_KEY, str(tls.key or "")),
        (keys.TLS_CHECK, tls.check),
    ]


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _logging(logging: LoggingSettings) -> Pairs:
    return [
        (keys.LOG_FILE, str(logging.file or "")),
        (keys.LOG_FORMAT, logging.format),
        (keys.LOG_LEVEL, logging.level),
    ]


def _metrics(metrics: MetricsSettings) -> Pairs:
    return [
        (keys.METERING, _boolean(metrics.enabled)),
        (keys.STATSD, address_text(metrics.statsd)),
        (keys.STATSD_PREFIX, metrics.prefix),
        (keys.STATSD_EVERY, seconds_text(metrics.every)),
        (keys.FOLLOWED_GROUPS, _lines(map(str, metrics.groups))),
        (keys.GROUP_LIMIT, str(metrics.group_limit)),
        (keys.GROUP_EVERY, seconds_text(metrics.group_every)),
    ]


def _tracing(tracing: TracingSettings) -> Pairs:
    return [
        (keys.TRACES, tracing.endpoint or ""),
        (keys.TRACE_HEADERS, _lines(f"{name}: {HIDDEN}" for name, _ in tracing.headers)),
        (keys.SERVICE_NAME, tracing.service_name),
        (keys.RATIO, seconds_text(tracing.ratio)),
        (keys.MAX_SPANS, str(tracing.max_spans)),
        (keys.EXPORT_TIMEOUT, seconds_text(tracing.export_timeout)),
        (keys.FLUSH_TIMEOUT, seconds_text(tracing.flush_timeout)),
    ]


def _identities(identities: IdentitySettings) -> list[str]:
    lines: list[str] = []
    browserid = identities.browserid
    if browserid is not None:
        pairs: Pairs = [
            (keys.VERIFIER, browserid.verifier),
            (keys.BROWSERID_AUDIENCE, browserid.audience),
            (keys.BROWSERID_ISSUERS, " ".join(browserid.issuers)),
            (keys.BROWSERID_TIMEOUT, seconds_text(browserid.timeout)),
            (keys.BROWSERID_REMEMBER, seconds_text(browserid.remember)),
        ]
        lines += ["", *_section("browserid", pairs)]
    for issuer in identities.issuers:
        lines += ["", *_section(f"jwt:{issuer.name}", _issuer(issuer))]
    return lines


def _issuer(issuer: IssuerSettings) -> Pairs:
    return [
        (keys.ISSUER, issuer.issuer),
        (keys.AUDIENCE, " ".join(issuer.audience)),
        (keys.ALGORITHMS, " ".join(issuer.algorithms)),
        (keys.PRINCIPAL, issuer.principal),
        (keys.LEEWAY, seconds_text(issuer.leeway)),
        (keys.ISSUER_TIMEOUT, seconds_text(issuer.timeout)),
        (keys.ISSUER_KEYS, seconds_text(issuer.keys)),
        (keys.ISSUER_REMEMBER, seconds_text(issuer.remember)),
    ]


def _application(application: ApplicationSettings) -> Pairs:
    policy = application.policy
    return [
        (keys.GUARANTEE, policy.guarantee.value),
        (keys.CONSISTENCY, policy.consistency.value),
        (keys.CREATE_QUEUES, "on-write" if policy.create_on_write else "explicit"),
        (keys.TTL, str(policy.ttl)),
        (keys.IDEMPOTENCY_TTL, str(policy.idempotency_ttl)),
        (keys.CORS_ORIGINS, " ".join(policy.cors_origins)),
        (keys.IDENTITIES, " ".join(policy.identities)),
        (keys.SIGNED_URLS, _boolean(policy.signed_urls)),
        *((limit, _limit(limit, getattr(policy, limit.name))) for limit in keys.LIMITS),
        (keys.APPLICATION_MAX_BODY, size_text(policy.max_body)),
        (keys.KEYS, _lines(sorted(f"sha256:{digest.hex()}" for digest in application.digests))),
    ]


def _limit(limit: keys.Key[Any], value: float | None) -> str:
    if value is None:
        return ""
    return size_text(int(value)) if limit in keys.SIZES else seconds_text(value)


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The settings that differ and cannot be taken over by a running daemon, as ``[section] key``."""
    before, after = _fixed(old), _fixed(new)
    # What only one of two backends has goes with the backend itself.
    return tuple(key.place for key in before if key in after and before[key] != after[key])


def _fixed(settings: Settings) -> dict[keys.Key[Any], str]:
    pairs = _server(settings.server) + _storage(settings.storage) + _logging(settings.logging)
    pairs += _metrics(settings.metrics) + _tracing(settings.tracing)
    found = {key: text for key, text in pairs if key.change == keys.RESTART}
    if isinstance(settings.storage, CassandraStorage):
        found[keys.PASSWORD] = settings.storage.password or ""
    found[keys.TRACE_HEADERS] = str(settings.tracing.headers)
    return found


def with_reloadable(old: Settings, new: Settings) -> Settings:
    """The settings that a running daemon has once it has taken over of ``new`` all that it can."""
    return attrs.evolve(
        new,
        server=attrs.evolve(
            new.server,
            http=old.server.http,
            workers=old.server.workers,
            modes=old.server.modes,
            ops=attrs.evolve(new.server.ops, listen=old.server.ops.listen),
        ),
        storage=old.storage,
        logging=attrs.evolve(old.logging, level=new.logging.level),
        metrics=attrs.evolve(
            old.metrics,
            groups=new.metrics.groups,
            group_limit=new.metrics.group_limit,
            group_every=new.metrics.group_every,
        ),
        tracing=old.tracing,
    )
