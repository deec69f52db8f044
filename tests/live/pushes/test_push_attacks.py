"""What a hostile endpoint, or the owner of a push to it, might do to the daemon: hold its connections, its threads or
its memory."""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS

from queuey.interfaces import NotSent, PushAnswer, PushRequest, Unsent
from queuey.model.pushes.targets import BadURL, parse_url, target_problem
from queuey.outgoing import checked_endpoints
from queuey.outgoing.sender import PushSender
from tests.live.pushes.endpoints import Endpoint, FakeResolver
from tests.model.pushes.test_push_targets import HOSTILE

reactor: Any = _reactor
LIMIT = 60
HOST = "hook.example"


def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate of its own for the host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin.replace(year=2120))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Hostile:
    """An endpoint in a thread that answers each request, and neither reads on nor closes.

    :param tls: the file with its key and certificate.
    """

    def __init__(self, answer: bytes, tls: Path | None = None) -> None:
        self._answer = answer
        self._context = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls)
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(64)
        self.port = self._listening.getsockname()[1]
        self.held: list[socket.socket] = []
        self._kept: list[Any] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            raw.settimeout(20)
            one: Any = raw
            self.held.append(raw.dup())  # below TLS, so that the end of the connection itself is seen
            if self._context is not None:
                one = self._context.wrap_socket(raw, server_side=True)
            one.recv(400)
            one.sendall(self._answer)
            self._kept.append(one)

    def closed(self) -> bool:
        """Wait for the ends of all connections, without reading what comes; whether they came."""
        for one in self.held:
            poll = select.poll()
            poll.register(one, select.POLLRDHUP)
            if not poll.poll(10_000):
                return False
        return True

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(LIMIT)
        for one in (*self._kept, *self.held):
            one.close()


class ConnectionTests(TestCase):
    """No connection stays open after its answer, whatever the endpoint does with it."""

    timeout = LIMIT
    run_in = "test"

    def setUp(self) -> None:
        self.patch(checked_endpoints, "LINGER", 0.3)

    def endpoint(self, answer: bytes, tls: bool = False) -> Hostile:
        policy, file = None, None
        if tls:
            private, public = certificate()
            file = Path(tempfile.mkdtemp(dir=self.mktemp_folder())) / "both.pem"
            file.write_bytes(private + public)
            policy = BrowserLikePolicyForHTTPS(Certificate.loadPEM(public))
        hostile = Hostile(answer, file)
        self.addCleanup(hostile.close)
        networks = (ipaddress.ip_network("127.0.0.0/8"),)
        self.sender = PushSender(reactor, FakeResolver(("127.0.0.1",)), lambda: networks, 4, policy)
        self.addCleanup(self.sender.close)
        return hostile

    def mktemp_folder(self) -> str:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return str(folder)

    def send(self, hostile: Hostile, scheme: str = "http", body: bytes = b"hello") -> Deferred[PushAnswer]:
        target = parse_url(f"{scheme}://{HOST}:{hostile.port}/")
        return self.sender.send(PushRequest("app", target, (("webhook-id", "m"),), body, 20.0, True))

    async def check(self, hostile: Hostile, scheme: str, body: bytes = b"hello", times: int = 3) -> None:
        for _ in range(times):
            self.assertEqual((await self.send(hostile, scheme, body)).status, 200)
        self.assertTrue(await deferToThread(hostile.closed), "a connection stays open")

    async def test_no_goodbye(self) -> None:
        """An endpoint that never answers the end of TLS."""
        hostile = self.endpoint(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", tls=True)
        await self.check(hostile, "https")

    async def test_no_goodbye_of_a_kept_one(self) -> None:
        """The same when the time of an idle connection is over."""
        hostile = self.endpoint(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tls=True)
        await self.check(hostile, "https", times=1)

    async def test_long_answer(self) -> None:
        """The same after an answer that is too long."""
        long = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000)
        await self.check(self.endpoint(long, tls=True), "https")

    async def test_body_that_is_not_read(self) -> None:
        """An endpoint that answers before it has read the request, and does not go on reading."""
        hostile = self.endpoint(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await self.check(hostile, "http", bytes(16 << 20))


class NameServers(FakeResolver):
    """Names that begin with "slow" are never answered, as far as those who ask can tell.

    :ivar asking: what asks for them.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1",))
        self.asking: list[Any] = []

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *rest: Any, **named: Any) -> Any:
        if hostName.startswith("slow"):
            self.asking.append(resolutionReceiver)
            return None
        return super().resolveHostName(resolutionReceiver, hostName, *rest, **named)


class NamesTests(TestCase):
    """Names whose servers do not answer."""

    timeout = LIMIT
    run_in = "test"

    async def test_slow_names(self) -> None:
        """They keep the threads of their own application, and no other one waits for them."""
        endpoint, names = Endpoint(), NameServers()
        listening = reactor.listenTCP(0, endpoint, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        networks = (ipaddress.ip_network("127.0.0.0/8"),)
        sender = PushSender(reactor, names, lambda: networks, 8)

        def send(application: str, host: str, seconds: float) -> Deferred[PushAnswer]:
            target = parse_url(f"http://{host}:{listening.getHost().port}/")
            return sender.send(PushRequest(application, target, (), b"", seconds, True))

        slow = [send("hostile", f"slow{number}.example", 0.5) for number in range(20)]
        answer = await send("app", "quick.example", 5)
        self.assertEqual((answer.status, len(names.asking)), (204, 6))
        for one in slow:
            await self.assertFailure(one, NotSent)
        # The threads are still busy, although no request waits for them any more.
        late = send("hostile", "slow.example", 5)
        self.assertEqual(len(names.asking), 6)
        for asking in tuple(names.asking):
            asking.resolutionComplete()
        self.assertEqual(len(names.asking), 7)
        names.asking[-1].resolutionComplete()
        error: Any = await self.assertFailure(late, NotSent)
        self.assertIs(error.reason, Unsent.NO_ADDRESS)
        sender.close()
        while endpoint.connections:
            await deferLater(reactor, 0.01)


class CallTests(SynchronousTestCase):
    """Nothing that is hostile is called, by its address or by a name that leads to it."""

    run_in = "test"

    def connected(self, url: str, *addresses: str, named: bool = False) -> list[Any]:
        """Send a push on a reactor that connects to nothing. :return: the connections that were asked for."""
        clock = MemoryReactorClock()
        sender = PushSender(clock, FakeResolver(addresses), tuple, 4)
        sending = sender.send(PushRequest("app", parse_url(url), (), b"", 1, named))
        sending.addErrback(lambda failure: failure.trap(NotSent))
        clock.advance(2)
        return [*clock.tcpClients, *clock.sslClients, *clock.unixClients]

    def test_urls(self) -> None:
        """Each hostile URL of the table; those that look like URLs are also given to the sender itself."""
        given = 0
        for url in HOSTILE:
            try:
                target = parse_url(url)
            except BadURL:
                continue
            if target_problem(target, ("*",), ()) is None:
                given += 1
                for named in (False, True):
                    self.assertEqual(self.connected(url, "127.0.0.1", named=named), [], url)
        self.assertGreater(given, 20)

    def test_names(self) -> None:
        """A name that leads to a hostile address, also behind others; a good one among them is connected to."""
        hosts = [url.partition("//")[2].partition("/")[0].strip("[]") for url in HOSTILE]
        hostile = [host for host in hosts if _is_address(host)]
        self.assertGreater(len(hostile), 25)
        for address in hostile:
            self.assertEqual(self.connected("https://hook.example/", address), [], address)
        self.assertEqual(self.connected("https://hook.example/", *hostile), [])
        ((host, port, *_),) = self.connected("https://hook.example/", *hostile, "93.184.216.34")
        self.assertEqual((host, port), ("93.184.216.34", 443))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class AnswerTests(TestCase):
    """Answers to requests that were not made."""

    timeout = LIMIT
    run_in = "test"

    async def check(self, later: float | None) -> None:
        """An endpoint sends a second answer after each; it must not be taken for that of the next request."""
        endpoint = Endpoint()
        listening = reactor.listenTCP(0, endpoint, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        second = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

        def answer(transport: Any, fields: Any, body: Any) -> None:
            transport.write(first + second if later is None else first)
            if later is not None:
                reactor.callLater(later, transport.write, second)

        endpoint.answer = answer
        networks = (ipaddress.ip_network("127.0.0.0/8"),)
        sender = PushSender(reactor, FakeResolver(("127.0.0.1",)), lambda: networks, 4)
        for _ in range(5):
            target = parse_url(f"http://{HOST}:{listening.getHost().port}/")
            self.assertEqual((await sender.send(PushRequest("app", target, (), b"", 5, True))).status, 200)
            await deferLater(reactor, 0.05)
        sender.close()
        endpoint.close()
        while endpoint.connections:
            await deferLater(reactor, 0.01)

    async def test_together(self) -> None:
        await self.check(None)

    async def test_while_idle(self) -> None:
        await self.check(0.01)
