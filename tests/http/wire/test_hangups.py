"""Clients that hang up at any stage of a request leave nothing for the garbage collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

from tests.http.api_support import LINES, OWNER
from tests.http.group_support import GroupTestCase
from tests.http.wire_support import Connection, Fields, encode_request

LARGE = 300_000
"""Bytes of a message of which two do not fit in what a client takes that does not read."""


class HangUpTests(GroupTestCase):
    """Each hangs up in another phase of a request; then objects are counted that only the garbage collector frees."""

    def setUp(self) -> None:
        # What other tests left is no garbage of these: else each collection looks through all of it.
        gc.collect()
        gc.freeze()
        super().setUp()
        self.make_queue("public", type="public")
        for _ in range(8):
            self.post("/v1/app/public", "x" * LARGE)
        self.clock.advance(1)

    def phase(self, data: bytes, *, reads: bool = True) -> Callable[[], Connection]:
        """What begins a connection, and sends something.

        :param reads: whether the client takes what is answered.
        """

        def begin() -> Connection:
            connection = Connection(self.assembly.site)
            connection.transport.greedy = reads
            return connection.send(data)

        return begin

    def check(self, begin: Callable[[], Connection], received: bytes = b"") -> None:
        """Nothing is left of a connection that was lost.

        :param received: what the answer begins with so far.
        """
        self.left(begin, received)  # the first time fills caches
        self.assertEqual(self.left(begin, received), {})

    def left(self, begin: Callable[[], Connection], received: bytes) -> Counter[str]:
        """The types of what is left."""
        gc.collect()
        gc.disable()
        try:
            connection = begin()
            self.clock.advance(0.1)
            self.assertEqual(connection.received[: len(received)], received)
            self.assertEqual(bool(connection.received), bool(received))
            connection.hang_up()
            # A transport forgets its producer when its connection is lost.
            connection.transport.producer = None
            del connection
            self.clock.advance(0.1)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return Counter(type(each).__name__ for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    def test_idle(self) -> None:
        self.check(self.phase(b""))
        self.check(self.phase(encode_request("GET", "/__heartbeat__")), b"HTTP/1.1 200 ")

    def test_head(self) -> None:
        self.check(self.phase(b"POST /v1/app/q HTTP/1.1\r\nHost: a\r\n"))

    def test_body(self) -> None:
        for fields in ({"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}):
            begun = b"3e8\r\n" if "Transfer-Encoding" in fields else b""
            head = encode_request("POST", "/v1/app/public", {**OWNER, **fields})
            self.check(self.phase(head))
            self.check(self.phase(head + begun + b"x" * 500))

    def test_strangers_body(self) -> None:
        """It is refused before its end."""
        head = encode_request("POST", "/v1/app/public", {"Content-Length": "1000"})
        self.check(self.phase(head + b"x" * 500), b"HTTP/1.1 403 ")

    def test_refused(self) -> None:
        """Also requests that were answered with an error leave nothing."""
        self.made("g")
        refused: tuple[tuple[bytes, str, str, Fields], ...] = (
            (b"401", "POST", "/v2/app/queues/q/messages", {}),
            (b"403", "POST", "/v1/app/public", {}),
            (b"404", "POST", "/v1/app/nosuch", OWNER),
            (b"404", "POST", "/v2/nosuch/queues/q/messages", OWNER),
            (b"415", "POST", "/v2/app/queues/q/groups/g/claims", {**OWNER, "Content-Type": "text/plain"}),
            (b"400", "GET", "/v2/app/queues/q/messages?limit=0", OWNER),
        )
        for status, method, path, fields in refused:
            self.check(self.phase(encode_request(method, path, fields, b"x")), b"HTTP/1.1 %b " % status)

    def test_waiting(self) -> None:
        for fields in (OWNER, {**OWNER, "Accept": LINES}):
            self.check(self.phase(encode_request("GET", "/v2/app/queues/q/messages?wait=20", fields)))

    def test_answering(self) -> None:
        """It takes nothing of a page that is made as it is taken: of one slice, and of several."""
        for path in (
            "/v2/app/queues/public/messages",
            "/v2/app/queues/public/messages?limit=1000&max_bytes=16777216",
            "/v1/app/public?limit=1000",
        ):
            self.check(self.phase(encode_request("GET", path), reads=False), b"HTTP/1.1 200 ")

    def test_streaming(self) -> None:
        path, fields = "/v2/app/queues/q/messages", {**OWNER, "Content-Type": LINES, "Content-Length": "1000"}
        self.check(self.phase(encode_request("POST", path, fields)))
        self.check(self.phase(encode_request("POST", path, fields) + b'{"body": "x"}\n'), b"HTTP/1.1 200 ")

    def test_claiming(self) -> None:
        """It waits, or takes nothing of what it was given."""
        self.made("g")
        fields = {**OWNER, "Content-Type": "application/json"}
        path = "/v2/app/queues/{}/groups/g/claims"
        self.check(self.phase(encode_request("POST", path.format("q"), fields, b'{"wait": 20}')))
        self.made("g", "public")
        asked = b'{"limit": 3, "lease": 1}'
        begin = self.phase(encode_request("POST", path.format("public"), fields, asked), reads=False)
        self.left(begin, b"HTTP/1.1 200 ")
        self.clock.advance(5)
        self.assertEqual(self.left(begin, b"HTTP/1.1 200 "), {})
