"""Where the client and the daemon must agree, and the daemon's commands in the client's.

The daemon needs a newer Python than the client: these tests do not run on the oldest ones that the client is for.
"""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import queuey
from queuey.cli import command
from queuey.model.applications.signing import WORDS, Grant, sign
from twisted.trial.unittest import SynchronousTestCase

import queuey_client
from queuey_client.cli import joining
from queuey_client.core.signing import OPERATIONS
from tests.client.support import KEY, Server
from tests.client_cli.support import CommandTestCase


class AgreementTests(SynchronousTestCase):
    """The client has what the daemon has."""

    def test_versions(self) -> None:
        self.assertEqual(queuey_client.__version__, queuey.__version__)

    def test_operations(self) -> None:
        """Operations of signed URLs are the daemon's, in its order."""
        self.assertEqual(OPERATIONS, tuple(sorted(WORDS)))

    def test_signatures(self) -> None:
        url = Server().queue("a b/c").signed_url(["write", "read"], 60, rate=5)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        grant = Grant("shop", "a b/c", "read,write", query["signed_until"], "5")
        self.assertIsNone(grant.problem())
        self.assertEqual(query["signature"], sign(sha256(KEY.encode()).digest(), grant))


class JoinedCommandTests(CommandTestCase):
    """The daemon's commands."""

    def test_arguments_are_passed_on(self) -> None:
        self.assertIn("nowhere.ini: cannot be read", self.fail_with(1, "check", "nowhere.ini"))
        self.assertRegex(self.succeed("keys", "new", "shop"), "shop = sha256:[0-9a-f]{64}\n")

    def test_help_is_their_own(self) -> None:
        printed = self.succeed("check", "--help")
        self.assertIn("--settings-only", printed)
        self.assertNotIn("QUEUEY_CONTEXT", printed)

    def test_wrong_arguments(self) -> None:
        self.assertIn("usage: queuey check", self.fail_with(2, "check", "--fly"))

    def test_all_of_them_join(self) -> None:
        """Each name is a command of the daemon's package, and described here."""
        there = joining.joined()
        self.assertEqual({point.load() for point in there.values()}, {command})
        self.assertLessEqual(set(there), set(joining.KNOWN))
        self.assertLessEqual({"check", "keys", "backup", "restore-queue", "copy", "schema", "ops"}, set(there))
