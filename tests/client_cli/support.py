"""Runs a command against a server that is a list of answers."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from queuey_client.cli.program import root
from queuey_client.cli.settings import Settings
from tests.client.support import KEY, Reply, Server, answer

QUEUE = {
    "name": "orders",
    "type": "user",
    "partitions": 1,
    "guarantee": "at-least-once",
    "consistency": "strong",
    "principals": [],
    "ttl": 3600,
    "version": "v1",
}
LAG = {
    "partition": 1,
    "settled_through": "place-1",
    "in_flight": 1,
    "waiting": 0,
    "set_aside": 2,
    "behind": {"count": 3, "exact": True},
    "oldest": "1-1",
    "oldest_age": 8.5,
}
GROUP = {
    "name": "billing",
    "lease": 30,
    "max_deliveries": 5,
    "dead_letter": "failed",
    "order": "none",
    "guarantee": "at-least-once",
    "version": "g1",
    "lag": [LAG],
}


def streamed(**more: Any) -> Any:
    """The answer to a stream of which all is stored."""
    return answer({"done": True, **more})


def runner() -> CliRunner:
    """A runner that keeps standard error apart; click 8.1, the last for Python 3.9, does so only if it is asked to."""
    apart: Any = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart)


class CommandTestCase(SynchronousTestCase):
    """A home of its own, and a server."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "QUEUEY_URL": "http://server",
            "QUEUEY_APPLICATION": "shop",
            "QUEUEY_KEY": KEY,
        }
        self.server = Server()

    def run_command(self, *arguments: str, replies: tuple[Reply, ...] = (), input: str | bytes = "") -> Result:
        """Run a command."""
        self.server = Server(*replies)
        settings = Settings(self.environment, self.server)
        # All messages of a command go in one request, however slowly this process gets on.
        settings.linger = 60.0
        return runner().invoke(root(), list(arguments), input=input, obj=settings)

    def succeed(self, *arguments: str, replies: tuple[Reply, ...] = (), input: str | bytes = "") -> str:
        """Run a command that ends with 0, after all answers are used. :return: what it printed."""
        result = self.run_command(*arguments, replies=replies, input=input)
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(self.server.replies, [])
        return result.stdout

    def fail_with(self, status: int, *arguments: str, replies: tuple[Reply, ...] = (), input: str | bytes = "") -> str:
        """Run a command that fails. :return: its words."""
        result = self.run_command(*arguments, replies=replies, input=input)
        self.assertEqual(result.exit_code, status, result.output)
        self.assertNotIn("Traceback", result.stderr)
        return result.stderr

    def lines_sent(self, at: int = -1) -> list[Any]:
        """The lines of a stream that the server was sent."""
        body = self.server.asks[at].body
        assert body is not None
        return [json.loads(line) for line in body.splitlines()]
