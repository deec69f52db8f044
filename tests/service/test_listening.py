"""How many connections may wait to be accepted."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from twisted.internet import reactor  # noqa: TID251  # a test has no service that hands it over
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.trial.unittest import TestCase

from queuey.service.process.listening import BACKLOG, Listeners, _with_backlog


class BacklogTests(TestCase):
    """Clients that connect while no daemon accepts."""

    def test_many_who_come_at_once_have_room(self) -> Deferred[list[None]]:
        listeners = Listeners()
        listeners.listen(reactor, ["tcp:0:interface=127.0.0.1"], ServerFactory())
        host, port = listeners.addresses()[0].split(":")
        with ExitStack() as clients:
            # No process accepts while this runs: a client that has no room fails by its time-out.
            found = [clients.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(200)]
            self.assertEqual(len({client.getsockname() for client in found}), 200)
        return listeners.stop()

    def test_what_is_said_holds(self) -> None:
        for said, meant in (
            ("tcp:80", f"tcp:80:backlog={BACKLOG}"),
            ("tcp:80:backlog=5:interface=127.0.0.1", "tcp:80:backlog=5:interface=127.0.0.1"),
            (r"unix:/a\:backlog=5", rf"unix:/a\:backlog=5:backlog={BACKLOG}"),
            ("systemd:domain=INET:name=http", "systemd:domain=INET:name=http"),
        ):
            self.assertEqual(_with_backlog(said), meant)
