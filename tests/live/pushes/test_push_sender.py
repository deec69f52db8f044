"""The sender of pushes and real endpoints: each status, hanging at each stage, cutting, redirecting, endless answers,
and names whose addresses change between check and connection."""

from __future__ import annotations

import ipaddress
import resource
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet import ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from queuey.interfaces import BodyEnd, IPushSender, NotSent, PushAnswer, PushRequest, Unsent
from queuey.model.pushes.targets import parse_url
from queuey.outgoing import sender
from queuey.outgoing.sender import MAX_BODY, PushSender
from tests.live.pushes.endpoints import OK, Endpoint, FakeResolver

reactor: Any = _reactor
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
HERE = ("127.0.0.1",)
LIMIT = 60
PIECE = bytes(1 << 16)


class SenderTests(TestCase):
    """Sends to one endpoint, which is known as hook.example."""

    timeout = LIMIT
    run_in = "test"

    def setUp(self) -> None:
        self.endpoint = Endpoint()
        self.networks: tuple[Any, ...] = LOOPBACK
        self.port = self.listen(self.endpoint)
        self.use(FakeResolver(HERE))

    def use(self, resolver: FakeResolver) -> None:
        self.resolver = resolver
        self.sender = PushSender(reactor, resolver, lambda: self.networks, 4)
        self.addCleanup(self.settle)

    def listen(self, factory: Any, interface: str = "127.0.0.1") -> int:
        port = reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def settle(self) -> None:
        """Let the connections of both sides end."""
        self.sender.close()
        self.endpoint.close()
        while self.endpoint.connections:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.02)

    def send(
        self, path: str = "/hook", seconds: float = 30.0, named: bool = True, host: str = "hook.example", **of: Any
    ) -> Deferred[PushAnswer]:
        url = f"{of.get('scheme', 'http')}://{host}:{of.get('port', self.port)}{path}"
        headers = (("content-type", "text/plain"), ("webhook-id", "m-1"))
        return self.sender.send(PushRequest("app", parse_url(url), headers, of.get("body", b"hello"), seconds, named))

    async def not_sent(self, reason: Unsent, sending: Deferred[PushAnswer]) -> None:
        error: Any = await self.assertFailure(sending, NotSent)
        self.assertIs(error.reason, reason)

    async def test_interface(self) -> None:
        verifyObject(IPushSender, self.sender)

    async def test_request(self) -> None:
        """The endpoint gets what was sent, under the name of the URL."""
        answer = await self.send("/a?b=%20c")
        self.assertEqual((answer.status, answer.body, answer.end), (204, b"", BodyEnd.WHOLE))
        ((line, fields, body),) = self.endpoint.requests
        self.assertEqual((line, body), ("POST /a?b=%20c HTTP/1.1", b"hello"))
        self.assertEqual(fields["host"], f"hook.example:{self.port}")
        self.assertEqual((fields["webhook-id"], fields["content-length"]), ("m-1", "5"))

    async def test_statuses(self) -> None:
        """Each status is reported as it is; no redirect is followed."""
        for status in (200, 301, 302, 303, 307, 308, 400, 404, 410, 429, 500, 503, 599):
            fields = b"Location: http://127.0.0.1:%d/other\r\nRetry-After: 7\r\n" % self.port
            self.endpoint.status(status, fields, b"because")
            answer = await self.send()
            self.assertEqual((answer.status, answer.retry_after, answer.body), (status, "7", b"because"))
        self.assertEqual({line for line, _, _ in self.endpoint.requests}, {"POST /hook HTTP/1.1"})

    async def test_statuses_that_are_none(self) -> None:
        """A number that no status has, or an answer of another protocol, is not HTTP."""
        for line in (b"HTTP/1.1 0", b"HTTP/1.1 99", b"HTTP/1.1 -200", b"HTTP/1.1 600", b"HTTP/1.1 " + b"9" * 4000):
            self.endpoint.answer = self.endpoint.say(line + b" X\r\nContent-Length: 0\r\n\r\n")
            await self.not_sent(Unsent.BROKEN, self.send())
        for version in (b"SIP/2.0", b"HTTP/3.1"):
            self.endpoint.answer = self.endpoint.say(version + b" 200 OK\r\nContent-Length: 0\r\n\r\n")
            await self.not_sent(Unsent.BROKEN, self.send())

    async def test_kept_connection(self) -> None:
        """A connection is used again, and the name is resolved once for each connection."""
        for _ in range(3):
            await self.send()
        self.assertEqual((len(self.endpoint.connections), len(self.resolver.asked)), (1, 1))
        # A caller with other rights gets no connection that leads into the operator's networks.
        await self.not_sent(Unsent.NO_ADDRESS, self.send(named=False))

    async def test_refused_addresses(self) -> None:
        """An address that is not allowed is never connected to, by whatever name. A name that only ``*`` allows looks
        as if it had no address, so that clients cannot find out which names a private network has."""
        await self.not_sent(Unsent.REFUSED, self.send(named=False, host="127.0.0.1"))
        await self.not_sent(Unsent.NO_ADDRESS, self.send(named=False))
        self.networks = ()
        for host in ("127.0.0.1", "hook.example", "[::1]", "[::ffff:127.0.0.1]"):
            await self.not_sent(Unsent.REFUSED, self.send(host=host))
        self.assertEqual((self.endpoint.requests, self.endpoint.connections), ([], []))

    async def test_changing_names(self) -> None:
        """A name that has a good address when it is checked, and another one the next time, is connected at the address
        that was checked: it is asked for once."""
        other = Endpoint()
        listening = reactor.listenTCP(self.port, other, interface="127.0.0.2")
        self.addCleanup(listening.stopListening)
        self.networks = (ipaddress.ip_network("127.0.0.1/32"),)
        self.use(FakeResolver(HERE, ("127.0.0.2",)))
        self.endpoint.status(200, b"Connection: close\r\n")
        await self.send()
        self.assertEqual((len(self.endpoint.requests), self.resolver.asked), (1, ["hook.example"]))
        await self.not_sent(Unsent.REFUSED, self.send())
        self.use(FakeResolver(("127.0.0.2", "127.0.0.1")))
        await self.send()
        self.assertEqual((len(self.endpoint.requests), other.requests, other.connections), (2, [], []))

    async def test_many_endpoints(self) -> None:
        """What is remembered of endpoints has a bound, however many there are."""
        self.patch(sender, "MAX_HOSTS", 3)
        for number in range(10):
            await self.send(host=f"hook{number}.example")
        pool = self.sender._pools[True]._pool
        self.assertLessEqual(len(pool._connections), 3)
        self.assertEqual(len(self.endpoint.requests), 10)

    async def test_no_address(self) -> None:
        self.use(FakeResolver(()))
        await self.not_sent(Unsent.NO_ADDRESS, self.send())

    async def test_hangs(self) -> None:
        """An endpoint that hangs at any stage costs no more than the time limit."""
        self.use(FakeResolver(HERE))
        for answer in (b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nA: b", b"HTTP/1.1 100 Continue\r\n\r\n"):
            self.endpoint.answer = self.endpoint.say(answer)
            await self.not_sent(Unsent.TIMEOUT, self.send(seconds=0.2))
        self.resolver.hangs = True
        await self.not_sent(Unsent.TIMEOUT, self.send(seconds=0.2))

    async def test_hanging_body(self) -> None:
        """The status counts if the body does not end."""
        self.patch(sender, "_BODY", 0.2)
        self.endpoint.answer = self.endpoint.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        answer = await self.send()
        self.assertEqual((answer.status, answer.body, answer.end), (200, b"some", BodyEnd.CUT))

    async def test_cuts(self) -> None:
        """An endpoint that closes the connection at any stage."""
        for said in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nA: b", b"nonsense\r\n\r\n", b"\0" * 1000):
            self.endpoint.answer = self.endpoint.say(said, close=True)
            await self.not_sent(Unsent.BROKEN, self.send())
        for fields, body in ((b"Content-Length: 9", b"ab"), (b"Transfer-Encoding: chunked", b"2\r\nab\r\n5\r\nc")):
            said = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body
            self.endpoint.answer = self.endpoint.say(said, close=True)
            answer = await self.send()
            self.assertEqual((answer.status, answer.body[:2], answer.end), (200, b"ab", BodyEnd.CUT))

    async def test_nobody_listens(self) -> None:
        listening = reactor.listenTCP(0, Endpoint(), interface="127.0.0.1")
        port = listening.getHost().port
        await listening.stopListening()
        await self.not_sent(Unsent.CONNECT, self.send(port=port))

    async def test_endless(self) -> None:
        """An answer without an end is cut, in its body and in its head; memory stays where it was."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for head, told in ((b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 200 OK\r\nA: ", False)):
            sent: list[int] = []

            def answer(transport: Any, fields: Any, body: Any, head: bytes = head, sent: Any = sent) -> None:
                transport.write(head)
                transport.registerProducer(Endless(transport, sent), False)

            self.endpoint.answer = answer
            if told:
                found = await self.send()
                self.assertEqual((found.status, len(found.body), found.end), (200, MAX_BODY, BodyEnd.TOO_LONG))
            else:
                await self.not_sent(Unsent.BROKEN, self.send())
            self.assertLess(sum(sent), 64 << 20)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown, 64 << 10)

    async def test_many_header_fields(self) -> None:
        """A head that goes on for ever, field by field."""
        self.endpoint.answer = self.endpoint.say(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000)
        await self.not_sent(Unsent.BROKEN, self.send())

    async def test_encoded(self) -> None:
        """An encoded body is not decoded, so a small one cannot become large."""
        self.endpoint.status(200, b"Content-Encoding: gzip\r\n", b"\x1f\x8bnot gzip")
        self.assertEqual((await self.send()).body, b"\x1f\x8bnot gzip")

    async def test_false_certificate(self) -> None:
        """A certificate that no authority of the system has signed is refused."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example")])
        begin = datetime(2020, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin.replace(year=2120))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        certificate = builder.sign(key, SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        both = ssl.PrivateCertificate.loadPEM(private + certificate.public_bytes(Encoding.PEM))
        context = both.options()
        port = reactor.listenSSL(0, self.endpoint, context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await self.not_sent(Unsent.TLS, self.send(scheme="https", port=port.getHost().port))
        self.assertEqual(self.endpoint.requests, [])

    async def test_cancelled(self) -> None:
        """A request that is cancelled closes its connection."""
        self.endpoint.answer = self.endpoint.say(b"")
        sending = self.send()
        sending.addErrback(lambda _: None)
        while not self.endpoint.requests:
            await deferLater(reactor, 0.01)
        sending.cancel()
        while self.endpoint.connections:
            await deferLater(reactor, 0.01)

    async def test_many_at_once(self) -> None:
        """Sixty-four at a time, over as many connections."""
        self.endpoint.answer = lambda transport, fields, body: reactor.callLater(0.05, transport.write, OK)
        found = await gatherResults([self.send() for _ in range(64)])
        self.assertEqual([one.status for one in found], [204] * 64)


class Endless:
    """Writes as long as the transport takes it."""

    def __init__(self, transport: Any, sent: list[int]) -> None:
        self._transport = transport
        self._sent = sent

    def resumeProducing(self) -> None:
        self._sent.append(len(PIECE))
        self._transport.write(PIECE)

    def stopProducing(self) -> None:
        """The connection is gone."""
