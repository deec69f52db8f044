"""What the log shows of a request's target."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.heads.targets import MAX_QUERY, SHOWN, without_secrets
from tests.http.described import inlined, operations

DIGEST = b"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"


class TargetTests(SynchronousTestCase):
    """Values of parameters that the APIs know are shown, and no others."""

    def test_hidden(self) -> None:
        """Whatever a secret is called, however its name is encoded, and where it is not separated as it should be."""
        for target, shown in (
            (b"/v2/a?signature=abc", b"/v2/a?signature=..."),
            (b"/v2/a?limit=1&signature=abc&wait=2", b"/v2/a?limit=1&signature=...&wait=2"),
            (b"/v2/a?s%69gnature=abc", b"/v2/a?s%69gnature=..."),
            (b"/v2/a?SIGNATURE=abc", b"/v2/a?SIGNATURE=..."),
            (b"/v2/a?access_token=abc", b"/v2/a?access_token=..."),
            (b"/rpc?token=abc", b"/rpc?token=..."),
            (b"/rpc?key=abc", b"/rpc?key=..."),
            (b"/rpc?assertion=abc&api-key=d&x.y=z&pa%73s=e", b"/rpc?assertion=...&api-key=...&x.y=...&pa%73s=..."),
            (b"/rpc?abcdef", b"/rpc?..."),
            (b"/rpc?" + DIGEST + b"=", b"/rpc?..."),
            (b"http://h/v2/a?signature=abc", b"http://h/v2/a?signature=..."),
            (b"/v2/a?signature=a?signature=b", b"/v2/a?signature=..."),
            (b"/v2/a?limit=1;signature=abc&wait=2", b"/v2/a?limit=...&wait=2"),
            (b"/v2/a?limit=1?signature=abc", b"/v2/a?limit=..."),
            (b"/v2/a?limit=1%26s%69gnature%3Dabc", b"/v2/a?limit=..."),
            (b"/v2/a?x%3D1%26s%69gnature%3Dabc", b"/v2/a?..."),
            (b"/v2/a?signed_by=" + DIGEST + b"&signed_for=read", b"/v2/a?signed_by=...&signed_for=read"),
            (b"/v2/a?signed_by=sha256:" + DIGEST, b"/v2/a?signed_by=..."),
            (b"/v2/a%3Ftoken=abc", b"/v2/a%3F..."),
            (b"/v2/a%3ftoken%3dabc/b?limit=1", b"/v2/a%3f...?limit=1"),
        ):
            self.assertEqual(without_secrets(target), shown)

    def test_shown(self) -> None:
        """As it was sent."""
        for target in (
            b"/v2/a",
            b"/v2/a?",
            b"/v2/a?&",
            b"/v2/a?limit",
            b"/v2/signature",
            b"/v2/a?limit=%31&&wait=5",
            b"/v2/a?after=0123456789abcdef-7&limit=1&since=2026-01-01T00:00:00Z",
            b"/v2/a?prefix=%C3%A4&after=YWJj==",
            b"/v2/a?signed_by=2c26b46b68ff&signed_for=read,write&signed_until=1700000000&signed_rate=5",
            b"/v1/a?offset=a%20b&details=true&include_count=1",
            b"/v2/a/queues/why%3F/messages?limit=1",
        ):
            self.assertEqual(without_secrets(target), target)

    def test_parameters(self) -> None:
        """All parameters of the second API are shown except one, which may also be an application's key."""
        found = {
            parameter["name"].encode()
            for _, _, operation in operations(inlined())
            for parameter in operation["parameters"]
            if parameter["in"] == "query"
        }
        self.assertEqual(found - SHOWN, {b"key"})

    def test_long(self) -> None:
        """A long query takes no longer than a short one."""
        self.assertLess(len(without_secrets(b"/v2/a?" + b"x=1&" * 20_000)), 3 * MAX_QUERY)
