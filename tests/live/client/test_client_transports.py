"""What the client's transports make of answers that are cut, late, elsewhere, or not there at all."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Ask, NoAnswer, NotStreaming, Opened
from queuey_client.aio.transport import AiohttpTransport
from queuey_client.sync.transport import Urllib3Transport
from tests.live.running import free_port

run_in = "test"

WHOLE = b"HTTP/1.1 201 Created\r\nX-Request-Id: abc\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\n{}"
TLS = b"\x16"
"""The first byte of a handshake."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: Queuey\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"


def send_sync(ask: Ask) -> Answer:
    """By urllib3."""
    transport = Urllib3Transport()
    try:
        return transport.send(ask)
    finally:
        transport.close()


def send_aio(ask: Ask) -> Answer:
    """By aiohttp."""

    async def send() -> Answer:
        transport = AiohttpTransport()
        try:
            return await transport.send(ask)
        finally:
            await transport.close()

    return asyncio.run(send())


OPENED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n"
LINES = b"{}\n{}\n"
STREAMED = OPENED + b"3\r\n{}\n\r\n3\r\n{}\n\r\n0\r\n\r\n"


def receive_sync(ask: Ask, seconds: float = 60.0) -> tuple[Answer, bytes, object]:
    """By urllib3, until nothing comes for so long; 0: until the first piece has come.

    :return: the answer, what came, and how it ended: ``b""``, nothing in time, or a break.
    """
    transport = Urllib3Transport()
    try:
        answer = transport.open(ask)
        if not isinstance(answer, Opened):
            return answer, b"", None
        found = b""
        try:
            while piece := answer.incoming.receive(seconds or 60):
                found += piece
                if not seconds:
                    break
            return answer, found, piece
        except NoAnswer as lost:
            return answer, found, lost
        finally:
            answer.incoming.close()
            answer.incoming.close()
    finally:
        transport.close()


def receive_aio(ask: Ask, seconds: float = 60.0) -> tuple[Answer, bytes, object]:
    """The same by aiohttp."""

    async def receive() -> tuple[Answer, bytes, object]:
        transport = AiohttpTransport()
        try:
            answer = await transport.open(ask)
            if not isinstance(answer, Opened):
                return answer, b"", None
            found = b""
            try:
                while piece := await answer.incoming.receive(seconds or 60):
                    found += piece
                    if not seconds:
                        break
                return answer, found, piece
            except NoAnswer as lost:
                return answer, found, lost
            finally:
                answer.incoming.close()
                answer.incoming.close()
        finally:
            await transport.close()

    return asyncio.run(receive())


class TransportTests(SynchronousTestCase):
    """Each transport before a server that sends some bytes and closes."""

    sends: tuple[Callable[[Ask], Answer], ...] = (send_sync, send_aio)
    receives: tuple[Callable[..., tuple[Answer, bytes, object]], ...] = (receive_sync, receive_aio)

    def setUp(self) -> None:
        self.heads: list[bytes] = []
        self.held: list[socket.socket] = []

    def serve(self, sent: bytes, hold: bool = False) -> str:
        """Answer each connection so. :return: the URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(60)
        self.heads = []
        held: list[socket.socket] = []
        self.held = held

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.settimeout(60)
                got = b""
                while b"\r\n\r\n" not in got and got[:1] != TLS:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    got += piece
                self.heads.append(got)
                connection.sendall(sent)
                if hold:
                    held.append(connection)
                else:
                    connection.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(60)
            for each in held:
                each.close()

        self.addCleanup(end)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v2/a%2Fb?key=%26"

    def ask(self, url: str, timeout: float = 30.0) -> Ask:
        """A POST."""
        return Ask("POST", url, {"Content-Type": "text/plain"}, b"x", timeout)

    def test_a_whole_answer(self) -> None:
        """It is given as it is, and the path is sent as it was written."""
        url = self.serve(WHOLE)
        for send in self.sends:
            found = send(self.ask(url))
            self.assertEqual((found.status, found.headers["x-request-id"], found.body), (201, "abc", b"{}"))
            self.assertTrue(self.heads[-1].startswith(b"POST /v2/a%2Fb?key=%26 HTTP/1.1\r\n"), self.heads[-1])

    def test_cut_answers(self) -> None:
        """Wherever it is cut, it is no answer; except at the very end of chunks, when all data is there."""
        cuts = [WHOLE[:end] for end in range(len(WHOLE))] + [
            CHUNKED[:end] for end in range(len(CHUNKED) - len(b"0\r\n\r\n"))
        ]
        for end, sent in enumerate(cuts):
            url = self.serve(sent)
            for send in self.sends:
                lost = self.assertRaises(NoAnswer, send, self.ask(url))
                self.assertEqual((lost.sent, lost.final), (True, False), (send, end))

    def test_a_late_answer(self) -> None:
        """It is none, and the request may have been done."""
        url = self.serve(WHOLE[:20], hold=True)
        for send in self.sends:
            self.assertIs(self.assertRaises(NoAnswer, send, self.ask(url, timeout=0.3)).sent, True)

    def test_no_server(self) -> None:
        """Then nothing was sent."""
        for send in self.sends:
            for host in ("127.0.0.1", "nowhere.invalid"):
                lost = self.assertRaises(NoAnswer, send, self.ask(f"http://{host}:{free_port()}/"))
                self.assertEqual((lost.sent, lost.final), (False, False), send)

    def test_no_tls(self) -> None:
        """Another attempt would not help."""
        url = self.serve(WHOLE).replace("http:", "https:")
        for send in self.sends:
            self.assertIs(self.assertRaises(NoAnswer, send, self.ask(url)).sent, False, send)

    def test_redirects(self) -> None:
        """They are not followed: the key would go along."""
        url = self.serve(MOVED)
        for send in self.sends:
            self.assertEqual(send(self.ask(url)).status, 302)

    def test_pieces(self) -> None:
        """They come to the end of the answer."""
        url = self.serve(STREAMED)
        for receive in self.receives:
            answer, found, end = receive(self.ask(url))
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/x-ndjson"))
            self.assertEqual((found, end), (LINES, b""))

    def test_pieces_that_are_cut(self) -> None:
        """The break is reported, perhaps after the data before it; the very end of chunks may be missing."""
        for end in range(len(STREAMED) - len(b"0\r\n\r\n")):
            url = self.serve(STREAMED[:end])
            for receive in self.receives:
                try:
                    _, found, lost = receive(self.ask(url))
                except NoAnswer:
                    self.assertLess(end, len(OPENED))
                    continue
                # http.client takes a head that was cut for a whole one.
                self.assertIsInstance(lost, NoAnswer)
                self.assertTrue(LINES.startswith(found), found)

    def test_pieces_that_do_not_come(self) -> None:
        """Nothing comes for so many seconds, after what has come, or there is no answer at all."""
        url = self.serve(STREAMED[: len(OPENED) + 8], hold=True)
        for receive in self.receives:
            self.assertEqual(receive(self.ask(url), 0.3)[1:], (LINES[:3], None))
        url = self.serve(b"", hold=True)
        for receive in self.receives:
            self.assertRaises(NoAnswer, receive, self.ask(url, timeout=0.3))

    def test_pieces_that_are_not_wanted(self) -> None:
        """Closing an answer ends its connection at once."""
        url = self.serve(STREAMED[: len(OPENED) + 8], hold=True)
        for receive in self.receives:
            self.assertEqual(receive(self.ask(url), 0)[1], LINES[:3])
            self.held[-1].settimeout(60)
            received = b"".join(iter(functools.partial(self.held[-1].recv, 100), b""))
            self.assertIn(received, (b"", b"x"), receive)  # the body of the request, if it came after the head

    def test_other_answers(self) -> None:
        """They are whole; and what has no chunks cannot be received in pieces by urllib3."""
        for receive in self.receives:
            answer, found, _ = receive(self.ask(self.serve(WHOLE)))
            self.assertEqual((answer.status, answer.body, found), (201, b"{}", b""))
            self.assertRaises(NoAnswer, receive, self.ask(self.serve(WHOLE[:-1])))
        self.assertRaises(NotStreaming, receive_sync, self.ask(self.serve(WHOLE.replace(b"201", b"200"))))

    def test_hanging_up(self) -> None:
        """A request that waits for its answer ends, and the server sees it."""
        url = self.serve(b"", hold=True)
        transport = Urllib3Transport()
        self.addCleanup(transport.close)
        ended: list[BaseException] = []

        def send() -> None:
            try:
                transport.send(self.ask(url))
            except NoAnswer as lost:
                ended.append(lost)

        thread = threading.Thread(target=send)
        thread.start()
        while not self.heads:
            thread.join(0.01)
        transport.hang_up()
        thread.join(60)
        self.assertEqual(len(ended), 1)
