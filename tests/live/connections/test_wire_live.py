"""The HTTP server on real sockets: what a transport in memory cannot show."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.deferreds import deferred
from queuey.http.connection.limits import AccessLine
from queuey.http.wire import ClientGone, Request, Site
from tests import runs_in
from tests.http.corpus import CASES
from tests.http.corpus_cases import Outcome
from tests.http.responses import Response, parse_responses
from tests.http.wire_support import LIMITS, Handler, answer_ok, encode_request, keep_waiting

reactor: Any = _reactor
T = TypeVar("T")

PATIENCE = 60.0


def talk(connection: socket.socket, data: bytes) -> list[Response]:
    """Send everything, then read until the server closes."""
    connection.sendall(data)
    return parse_responses(read_all(connection), closed=True)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


class LiveCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.lines: list[AccessLine] = []
        self.addCleanup(self.end_calls)
        self.site, self.address = self.serve(reactor.seconds)

    def serve(self, now: Callable[[], float]) -> tuple[Site, tuple[str, int]]:
        """Serve on a port.

        :param now: the time in the answers.
        """
        numbers = count(1)
        site = Site(
            self.handler,
            attrs.evolve(LIMITS, header_timeout=1, idle_timeout=1, request_timeout=2),
            reactor=reactor,
            now=now,
            new_id=lambda: f"id-{next(numbers)}",
            forwarded=(),
            access=self.lines.append,
            streams=lambda request: request.path == b"/stream",
        )
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.stop, port, site)
        return site, ("127.0.0.1", port.getHost().port)

    @deferred
    async def stop(self, port: Any, site: Site) -> None:
        await port.stopListening()
        drained = site.drain()
        site.abort()
        await drained

    def end_calls(self) -> None:
        for call in reactor.getDelayedCalls():
            call.cancel()

    def in_thread(self, function: Callable[[socket.socket], T]) -> Deferred[T]:
        """Call a blocking function with a connection to the site."""

        def work() -> T:
            with socket.create_connection(self.address, timeout=PATIENCE) as connection:
                return function(connection)

        return deferToThread(work)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to happen, within bounds."""
        for _ in range(int(PATIENCE * 50)):
            if condition():
                return
            waiting: Deferred[None] = Deferred()
            reactor.callLater(0.02, waiting.callback, None)
            await waiting
        self.fail("it did not happen in time")


class SocketTests(LiveCase):
    @deferred
    async def test_early_refusal_is_seen(self) -> None:
        """Python's http.client sees the 413 although it is still sending."""

        def upload() -> tuple[int, bytes]:
            client = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
            client.request("POST", "/", body=b"x" * 900_000)
            response = client.getresponse()
            return response.status, response.read()

        for _ in range(5):
            status, body = await deferToThread(upload)
            self.assertEqual((413, ["RequestTooLarge"]), (status, list(json.loads(body)["error_msg"])))

    @runs_in("test")
    @deferred
    async def test_keep_alive(self) -> None:
        """One connection takes many requests, bodies of any size among them."""

        def work() -> set[int]:
            client = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
            statuses = set()
            for size in (0, 1, 1000) * 20:
                client.request("POST", "/", body=b"x" * size)
                response = client.getresponse()
                response.read()
                statuses.add(response.status)
            client.close()
            return statuses

        self.assertEqual({200}, await deferToThread(work))
        self.assertEqual({1000, 1, 0}, {len(request.body) for request in self.handler.requests})

    @deferred
    async def test_closes_behind_a_refusal(self) -> None:
        """A refused client sees the end of the answer and of the connection at once."""
        responses = await self.in_thread(lambda connection: talk(connection, b"hello\r\n"))
        self.assertEqual([400], [each.status for each in responses])

    @deferred
    async def test_time_outs(self) -> None:
        """Silence is closed in silence, half a head is 408; both by the clock of the whole."""
        self.assertEqual(b"", await self.in_thread(read_all))
        responses = await self.in_thread(lambda connection: talk(connection, b"GET / HT"))
        self.assertEqual([408], [each.status for each in responses])
        responses = await self.in_thread(lambda connection: talk(connection, encode_request("GET", "/")))
        self.assertEqual([200], [each.status for each in responses])

    @runs_in("test")
    @deferred
    async def test_hang_up_is_noticed(self) -> None:
        """A handler learns that its client has hung up while it waits, by FIN and by RST."""
        self.handler.handle = keep_waiting

        def hang_up(connection: socket.socket) -> None:
            connection.sendall(encode_request("GET", "/"))

        def reset(connection: socket.socket) -> None:
            connection.sendall(encode_request("GET", "/"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        for function in (hang_up, reset):
            await self.in_thread(function)
            await self.until(lambda: self.lines)
            self.assertEqual([499], [line.status for line in self.lines])
            self.lines.clear()

    @deferred
    async def test_stalled_reader_is_cut(self) -> None:
        """A client that takes nothing of a large answer is cut, and the handler gets an error."""
        outcomes: list[object] = []

        @deferred
        async def flood(request: Request) -> None:
            try:
                while True:
                    await request.send(b"x" * 65536)
            except ClientGone as gone:
                outcomes.append(gone)

        self.handler.handle = flood
        held: list[socket.socket] = []

        def stall(connection: socket.socket) -> None:
            connection.sendall(encode_request("GET", "/"))
            held.append(connection.dup())

        await self.in_thread(stall)
        await self.until(lambda: outcomes)
        held[0].close()
        self.assertEqual(0, self.site.connections)

    @deferred
    async def test_streams_both_ways(self) -> None:
        """30 MB through an echo, arriving whole, with little of it in memory at any time."""
        most = 0

        @deferred
        async def echo(request: Request) -> None:
            nonlocal most
            await request.send(b'"')
            async for piece in request.pieces():
                most = max(most, request.unread)
                await request.send(piece)
            await request.send(b'"')
            request.finish()

        self.handler.handle = echo
        size = 30_000_000

        def work(connection: socket.socket) -> int:
            head = encode_request("PUT", "/stream", {"Content-Length": str(size), "Connection": "close"})
            connection.sendall(head)
            connection.setblocking(False)
            sent = total = 0
            data = b"x" * 65536
            while True:
                if sent < size:
                    with contextlib.suppress(BlockingIOError):
                        sent += connection.send(data[: size - sent])
                else:
                    connection.settimeout(PATIENCE)
                with contextlib.suppress(BlockingIOError):
                    received = connection.recv(1 << 20)
                    if not received:
                        return total
                    total += received.count(b"x")

        self.assertEqual(size, await self.in_thread(work))
        self.assertLess(most, 200_000)

    @deferred
    async def test_too_many_connections(self) -> None:
        """The one too many gets an error, though it sends its request at the same time."""
        self.site.limits = attrs.evolve(self.site.limits, max_connections=3)
        held = [await deferToThread(socket.create_connection, self.address) for _ in range(3)]
        await self.until(lambda: self.site.connections == 3)
        responses = await self.in_thread(lambda connection: talk(connection, encode_request("GET", "/")))
        self.assertEqual([503], [each.status for each in responses])
        for each in held:
            each.close()

    @runs_in("test")
    @deferred
    async def test_drain(self) -> None:
        """Requests under way get their answers, then there is no connection left."""
        self.handler.handle = keep_waiting
        answers = [self.in_thread(lambda connection: talk(connection, encode_request("GET", "/"))) for _ in range(5)]
        await self.until(lambda: len(self.handler.requests) == 5)
        drained = self.site.drain()
        for request in self.handler.requests:
            request.answer(200, (), b'"%b"' % (b"x" * 1_000_000))
        for answer in answers:
            responses = await answer
            self.assertEqual([(200, True, 1_000_002)], [(r.status, r.closes, len(r.body)) for r in responses])
        await drained


class CutTests(LiveCase):
    @runs_in("test")
    @deferred
    async def test_same_bytes(self) -> None:
        """A sample of all kinds of streams is answered alike, whole or cut.

        Each ends with one more request, which ends the connection.
        """
        addresses = []
        for _ in range(3):
            site, address = self.serve(lambda: 1_000_000_000.0)
            site.limits = LIMITS
            addresses.append(address)
        end = encode_request("GET", "/", {"Connection": "close"})
        post = encode_request("POST", "/", body=b"hello")
        samples = [case.data for case in CASES if case.outcome is not Outcome.WAITING][::9]
        samples += [
            post * 3,
            post + b"hello\r\n",
            post.replace(b"POST", b"HELLO") * 2,
            encode_request("PUT", "/stream"),
        ]

        def talked(address: tuple[str, int], pieces: list[bytes]) -> bytes:
            received = b""
            with socket.create_connection(address, timeout=PATIENCE) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # What was sent behind the end of a connection has it reset, behind all that there was to read.
                with contextlib.suppress(ConnectionError):
                    for piece in pieces:
                        connection.sendall(piece)
                with contextlib.suppress(ConnectionError):
                    while data := connection.recv(65536):
                        received += data
            return received

        def work() -> list[tuple[bytes, list[bytes]]]:
            found = []
            for data in samples:
                ways = ([data + end], [data, end], [data[:40], data[40:], end])
                answers = [talked(address, pieces) for address, pieces in zip(addresses, ways, strict=True)]
                found.append((data, answers))
            return found

        found = await deferToThread(work)
        self.assertEqual([], [each for each in found if len(set(each[1])) > 1])
        self.assertGreater(sum(b"HTTP/1.1 200" in each[0] for _, each in found), len(samples) // 6)
        self.assertGreater(sum(b"HTTP/1.1 400" in each[0] for _, each in found), len(samples) // 6)


class OtherTransportTests(LiveCase):
    @deferred
    async def test_unix_socket(self) -> None:
        """A unix socket works as TCP does; its client is called unix."""
        path = os.path.join(os.path.relpath(self.mktemp()) + ".s")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        port = reactor.listenUNIX(path, self.site)

        def work() -> list[Response]:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(path)
                return talk(connection, encode_request("GET", "/") + b"hello\r\n")

        responses = await deferToThread(work)
        await port.stopListening()
        self.flushWarnings()  # Twisted compares the path with both kinds of strings
        self.assertEqual([200, 400], [each.status for each in responses])
        self.assertEqual(["unix", "unix"], [line.client for line in self.lines])

    @deferred
    async def test_tls(self) -> None:
        """TLS agrees on http/1.1 whatever it is offered; refusals, streams and closes work."""
        certificate, options = self.make_certificate()
        port = reactor.listenSSL(0, self.site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        address = ("127.0.0.1", port.getHost().port)

        def work(data: bytes) -> tuple[str | None, list[Response]]:
            context = ssl.create_default_context(cadata=certificate)
            context.check_hostname = False
            context.set_alpn_protocols(["h2", "http/1.1"])
            with (
                socket.create_connection(address, timeout=PATIENCE) as plain,
                context.wrap_socket(plain) as connection,
            ):
                responses = talk(connection, data)
                return connection.selected_alpn_protocol(), responses

        post = encode_request("POST", "/", {"Content-Length": "100000"})
        for data, statuses in (
            (encode_request("GET", "/", {"Connection": "close"}), [200]),
            (encode_request("GET", "/") + b"hello\r\n", [200, 400]),
            (post + b"x" * 100_000, [413]),
            (b"GET /", [408]),
        ):
            protocol, responses = await deferToThread(work, data)
            self.assertEqual(("http/1.1", statuses), (protocol, [each.status for each in responses]))
        self.handler.handle = lambda request: request.answer(200, (), b'"%b"' % (b"x" * 5_000_000))
        _, responses = await deferToThread(work, encode_request("GET", "/", {"Connection": "close"}))
        self.assertEqual([5_000_002], [len(each.body) for each in responses])
        self.assertTrue(self.handler.requests[-1].isSecure())

    def make_certificate(self) -> tuple[str, Any]:
        """A certificate for localhost, and what a port needs to serve with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
        certificate = signed.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.decode("ascii"), PrivateCertificate.loadPEM(secret + certificate).options()
