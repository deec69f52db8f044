"""Origins, and those of this machine on any port."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.origins import allowed, problem

DEVELOPMENT = ("http://localhost:*", "http://127.0.0.1:*")


class AnyPortTests(SynchronousTestCase):
    def test_hosts_of_this_machine_alone(self) -> None:
        for scheme in ("http", "https"):
            for host in ("localhost", "127.0.0.1", "[::1]"):
                self.assertIsNone(problem(f"{scheme}://{host}:*"))
        for wrong in (
            "http://example.com:*", "http://localhost.example.com:*", "http://*:*", "http://*", "ftp://localhost:*",
            "http://127.0.0.2:*", "http://LOCALHOST:*", "http://localhost:*:*", "http://localhost:8*", "localhost:*",
            "http://localhost:*/", "null:*", ":*",
        ):  # fmt: skip
            self.assertIsNotNone(problem(wrong), wrong)

    def test_allowed(self) -> None:
        for origin in ("http://localhost", "http://localhost:3000", "http://localhost:65535", "http://127.0.0.1:5173"):
            self.assertTrue(allowed(origin, DEVELOPMENT), origin)
        self.assertTrue(allowed("http://[::1]:3000", ("http://[::1]:*",)))
        self.assertTrue(allowed("http://[::1]", ("http://[::1]:*",)))

    def test_not_allowed(self) -> None:
        for origin in (
            "", "null", "https://localhost:3000", "http://[::1]:3000", "http://localhost.example.com:3000",
            "http://example.com", "http://example.com:3000", "http://localhost:", "http://127.0.0.1:3000:1",
            "http://localhost:3000/", "http://localhost:3000.example.com", "http://localhost:port", "http://user@localhost:3000",
            "http://localhost@example.com:3000", "http://LOCALHOST:3000", "http://127.0.0.1.example.com:80", "http://localhost:²",
            "http://localhost:3000\n",
        ):  # fmt: skip
            self.assertFalse(allowed(origin, DEVELOPMENT), origin)

    def test_others(self) -> None:
        """An origin with a port is that port alone; all origins are all."""
        self.assertTrue(allowed("http://a:1", ("http://a:1",)))
        self.assertFalse(allowed("http://a:2", ("http://a:1",)))
        self.assertFalse(allowed("http://localhost:2", ("http://localhost:1", "http://localhost")))
        self.assertTrue(allowed("http://a:2", ("*",)))
        self.assertFalse(allowed("http://a:2", ()))
