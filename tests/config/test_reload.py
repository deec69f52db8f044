"""What a running daemon takes over of a changed file, for every setting that there is."""

from __future__ import annotations

import grp

import attrs

from queuey.config import Settings, keys, needs_restart, with_reloadable
from queuey.config.declarations import policies
from queuey.config.declarations.declared import RESTART, Key
from tests.config.support import APPLICATION, SettingsTestCase

CHANGES = {
    "http": "tcp:81",
    "listen": "tcp:83",
    "url": "https://queues.example.org/sqs",
    "max_body": "2MiB",
    "max_header": "2KiB",
    "header_timeout": "1",
    "request_timeout": "1",
    "idle_timeout": "1",
    "max_connections": "1",
    "stop_timeout": "1",
    "drain_pause": "1",
    "workers": "2",
    "disk_floor": "1",
    "forwarded": "::1",
    "live_time": "10",
    "live_heartbeat": "1",
    "ops": "unix:ops.sock",
    "ops_token": "another-long-token",
    "ops_hosts": "queuey.example",
    "ops_backups": "backups",
    "ops_peek": "true",
    "dashboard": "tcp:5002:interface=127.0.0.1",
    "dashboard_tokens": f"ann watch sha256:{'1' * 64}",
    "dashboard_hosts": "queuey.example",
    "dashboard_peek": "false",
    "max_age": "0.5",
    "enabled": "false",
    "statsd": "127.0.0.1:8125",
    "statsd_prefix": "other",
    "statsd_every": "1",
    "groups": "a/*/g",
    "group_limit": "7",
    "group_every": "3",
    "queues": "a/*",
    "queue_limit": "7",
    "queue_every": "3",
    "endpoint": "http://collector.example.org:4318/v1/traces",
    "headers": "X-Key: a-key",
    "service_name": "other",
    "ratio": "0.5",
    "max_spans": "1",
    "export_timeout": "1",
    "flush_timeout": "1",
    "path": "other",
    "durability": "relaxed",
    "cache": "1MiB",
    "guarantee": "exactly-once",
    "consistency": "weak",
    "create_queues": "on-write",
    "ttl": "1",
    "idempotency_ttl": "60",
    "cors_origins": "*",
    "verifier": "https://v.example.org/2",
    "issuer": "https://i.example.org/2",
    "audience": "https://a.example.org/2",
    "issuers": "b.example.org",
    "algorithms": "ES256",
    "principal": "email",
    "leeway": "1",
    "timeout": "1",
    "keys_for": "60",
    "remember": "1",
    "identities": "browserid",
    "signed_urls": "yes",
    "push": "yes",
    "push_hosts": "b.example.org",
    "secrets": "b" * 32,
    "networks": "10.0.0.0/8",
    "ports": "8080",
    "max_requests": "1",
    "sqs": "yes",
    "sqs_account": "210987654321",
    "sqs_policies": "keep",
    "keys": "another-long-key",
    "max_queues": "1",
    "max_bytes": "1MiB",
    "max_messages": "1",
    "max_queue_bytes": "1MiB",
    "max_queue_messages": "1",
    "max_groups": "1",
    "max_waits": "1",
    "max_queue_waits": "1",
    "max_live": "1",
    "max_queue_live": "1",
    "request_rate": "1.5",
    "request_burst": "1",
    "message_rate": "1",
    "message_burst": "1",
    "queue_request_rate": "0.001",
    "queue_request_burst": "1",
    "queue_message_rate": "1",
    "queue_message_burst": "1",
    "file_group": grp.getgrgid(0).gr_name,
    "file": "other.log",
    "format": "json",
    "level": "debug",
}
"""Another value of each setting; those that are left out have only one in this version, or are tested apart."""

CLUSTER = {
    "host": ("a", "b:1"),
    "database": ("a", "b"),
    "replication": ("1", "dc:1"),
    "local_dc": ("", "dc"),
    "multi_dc": ("no", "yes"),
    "username": ("a", "b"),
    "password": ("a", "b"),
    "protocol": ("cql", "thrift"),
    "create_schema": ("true", "false"),
    "frontends": ("one", "many"),
    "write_timeout": ("1", "2"),
    "clock_skew": ("1", "2"),
    "base_delay": ("1", "2"),
    "request_timeout": ("1", "2"),
    "in_flight": ("1", "2"),
    "tls": ("true", "false"),
    "tls_authorities": ("a", "b"),
    "tls_certificate": ("a", "b"),
    "tls_key": ("a", "b"),
    "tls_check": ("address", "nothing"),
}
"""Two values of each setting of a cluster."""

WITH = {
    **{burst.name: f"{rate.name} = 1\n" for rate, burst in policies.BURSTS},
    "username": "password = x\n",
    "password": "username = x\n",
    "tls_authorities": "tls = true\n",
    "tls_certificate": "tls = true\n",
    "tls_key": "tls = true\ntls_certificate = x\n",
    "tls_check": "tls = true\n",
}
"""What some of them need beside them."""

NEEDED = {
    "browserid": {"verifier": "https://v.example.org", "audience": "https://a.example.org"},
    "jwt:app": {"issuer": "https://i.example.org", "audience": "a"},
}
"""What some sections cannot be without."""

BROWSERID = "[browserid]\nverifier = https://v.example.org\naudience = https://a.example.org\n"

ONLY_ONE = {"backend", "NAME", "signatures", "application"}  # the last two need each other: tests.config.test_sqs


class ReloadTests(SettingsTestCase):
    def settings(self, key: Key[object], value: str) -> Settings:
        section = key.section.replace("NAME", "app")
        given = {"backend": "memory"} if key is keys.STORAGE["memory"][1] else dict(NEEDED.get(section, {}))
        given |= {rate.name: "1" for rate, burst in policies.BURSTS if key is burst}
        given[key.name] = value or given.get(key.name, "")
        lines = "".join(f"{name} = {text}\n" for name, text in given.items())
        return self.load(
            f"[{section}]\n{lines}{APPLICATION}{BROWSERID if key is policies.POLICY['identities'] else ''}"
        )

    def test_every_key(self) -> None:
        for key in keys.TABLE:
            if key.name in ONLY_ONE or key in keys.STORAGE["cassandra"]:
                continue
            value = "1KiB" if key is policies.MAX_BODY else CHANGES[key.name]
            old, new = self.settings(key, ""), self.settings(key, value)
            self.assertNotEqual(old, new, key)
            taken = with_reloadable(old, new)
            if key.change == RESTART:
                self.assertEqual(needs_restart(old, new), (key.place,))
                self.assertEqual(taken, old)
            else:
                self.assertEqual(needs_restart(old, new), ())
                self.assertEqual(taken, new)

    def test_every_key_of_a_cluster(self) -> None:
        for key in keys.STORAGE["cassandra"][1:]:
            first = f"[storage]\nbackend = cassandra\n{WITH.get(key.name, '')}{key.name} = "
            old, new = (self.load(f"{first}{value}\n{APPLICATION}") for value in CLUSTER[key.name])
            self.assertNotEqual(old, new, key)
            self.assertEqual(needs_restart(old, new), (key.place,))
            self.assertEqual(with_reloadable(old, new), old)
            self.assertNotIn("password = x", "\n".join(old.describe()))
            self.assertNotIn("password='x'", repr(old))

    def test_backend(self) -> None:
        old, new = self.load("[storage]\npath = x\n"), self.load("[storage]\nbackend = memory\n")
        self.assertEqual(needs_restart(old, new), ("[storage] backend",))
        self.assertEqual(with_reloadable(old, new), old)

    def test_keys_of_applications(self) -> None:
        old, new = self.load("[application_keys]\na = first-key\n"), self.load("[application_keys]\nb = first-key\n")
        self.assertEqual(needs_restart(old, new), ())
        self.assertEqual(with_reloadable(old, new), new)

    def test_both_kinds_together(self) -> None:
        old = self.load("[server]\nhttp = tcp:80\n[logging]\nformat = json\n")
        new = self.load("[server]\nhttp = tcp:81\nmax_body = 5\n[logging]\nlevel = warn\n")
        self.assertEqual(needs_restart(old, new), ("[server] http", "[logging] format"))
        taken = with_reloadable(old, new)
        self.assertEqual(taken.server, attrs.evolve(new.server, http=("tcp:80",)))
        self.assertEqual(taken.logging, attrs.evolve(old.logging, level="warn"))

    def test_warnings_are_those_of_the_new_file(self) -> None:
        old, new = self.load("[application_keys]\na = first-key\n"), self.load("")
        self.assertEqual(with_reloadable(old, new).warnings, new.warnings)
