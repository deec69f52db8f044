"""Mistakes in settings, each with what is reported of it."""

from __future__ import annotations

from queuey.config import (
    keys,
)
from tests.config.support import KEY

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
    "push, push_hosts, sqs, sqs_account, sqs_policies, keys, max_queues, max_bytes, "
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
