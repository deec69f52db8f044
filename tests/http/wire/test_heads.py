"""Heads that are remembered: a request that begins with the very bytes of the one before it has the same head."""

from __future__ import annotations

from typing import Any, cast

import attrs
from klein import Klein
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.heads.head import Head
from queuey.http.heads.remembered import MAX_BYTES, MAX_FIELDS
from queuey.http.requests.request import Request
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, encode_request, keep_waiting, make_site

POST = encode_request("POST", "/a?b=c", {"X-A": "1", "Content-Length": "2"})
FOUND: Any = "found"
"""Stands for a plan."""


class RememberedHeadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.site = make_site(self.handler)
        self.connection = Connection(self.site)

    @property
    def heads(self) -> list[Head]:
        return [request.head for request in self.handler.requests]

    def one_head(self) -> bool:
        """Whether the last two requests have the same head."""
        return self.heads[-1] is self.heads[-2]

    def test_same_bytes(self) -> None:
        """The same head with another body is the same head, and all else is the request's own."""
        self.connection.send(POST + b"ab").send(POST + b"cd")
        first, second = self.handler.requests
        self.assertTrue(self.one_head())
        self.assertEqual([b"ab", b"cd"], [first.body, second.body])
        self.assertEqual([len(POST) + 2] * 2, [first.bytes_in, second.bytes_in])
        self.assertEqual(["id-1", "id-2"], [each.header("x-request-id") for each in self.connection.responses("POST")])

    def test_pipelined(self) -> None:
        """So it is where they come together, or the second in pieces behind its head."""
        self.connection.send(POST + b"ab" + POST + b"cd" + POST).send(b"e").send(b"f")
        self.assertEqual([b"ab", b"cd", b"ef"], [each.body for each in self.handler.requests])
        self.assertEqual(1, len(set(self.heads)))

    def test_what_was_found_out(self) -> None:
        """A handler of requests may note something about the head."""
        self.connection.send(POST + b"ab")
        self.assertIsNone(self.heads[0].plan)
        self.heads[0].plan = FOUND
        self.connection.send(POST + b"ab").send(POST.replace(b"X-A", b"X-B") + b"ab")
        self.assertEqual([FOUND, None], [head.plan for head in self.heads[1:]])

    def test_new_with_every_request(self) -> None:
        """What was found out goes on with a head that differs in what is new each time, and with no other."""
        new = ("X-Request-Id", "Idempotency-Key", "traceparent", "tracestate", "X-Forwarded-For")
        others = ("Authorization", "Content-Type", "Content-Encoding", "Queuey-Headers", "X-TTL")
        fields = dict.fromkeys((*new, *others), "a")

        def plan(changed: dict[str, str | None], line: str = "/a?b=c", body: bytes = b"a") -> object:
            """What a head has that comes after one of which something was found out."""
            self.connection.send(encode_request("POST", "/a?b=c", fields, b"a"))
            self.heads[-1].plan = FOUND
            given = {name: value for name, value in {**fields, **changed}.items() if value is not None}
            self.connection.send(encode_request("POST", line, given, body))
            self.assertFalse(self.one_head())
            return self.heads[-1].plan

        for name in fields:
            self.assertEqual(FOUND if name in new else None, plan({name: "b"}), name)
            self.assertIsNone(plan({name: None}), name)
        self.assertEqual(FOUND, plan({}, body=b"of another length"))
        self.assertIsNone(plan({"X-B": "b"}))
        self.assertIsNone(plan({}, "/a?b=d"))

    def test_other_bytes(self) -> None:
        """Any other byte makes another head: in the line, in a field, at the end of a field."""
        for old, new in ((b"POST", b"PUT"), (b"c ", b"d "), (b"X-A", b"x-a"), (b": 1", b":  1"), (b"2\r\n", b"2 \r\n")):
            self.connection.send(POST + b"ab").send(POST.replace(old, new) + b"ab")
            self.assertFalse(self.one_head(), (old, new))
            self.assertEqual(b"ab", self.handler.requests[-1].body)

    def test_two_in_turn(self) -> None:
        """A client that does two things in turn has both heads remembered."""
        other = POST.replace(b"POST", b"PUT")
        for _ in range(3):
            self.connection.send(POST + b"ab").send(other + b"cd")
        self.assertEqual([self.heads[0], self.heads[1]] * 3, self.heads)
        self.assertEqual([b"ab", b"cd"] * 3, [request.body for request in self.handler.requests])
        self.assertEqual([b"POST", b"PUT"] * 3, [request.method for request in self.handler.requests])

    def test_two_in_turn_in_pieces(self) -> None:
        """The bodies may come later than the heads, and the next request with them."""
        other = POST.replace(b"POST", b"PUT")
        self.connection.send(POST + b"ab").send(other + b"cd").send(POST).send(b"ef" + other).send(b"gh")
        self.assertEqual([b"ab", b"cd", b"ef", b"gh"], [request.body for request in self.handler.requests])
        self.assertEqual([self.heads[0], self.heads[1]] * 2, self.heads)

    def test_three_in_turn(self) -> None:
        """Of three, the one that was seen longest ago is read again."""
        for _ in range(2):
            for method in (b"POST", b"PUT", b"PATCH"):
                self.connection.send(POST.replace(b"POST", method) + b"ab")
        self.assertEqual(6, len(set(self.heads)))

    def test_the_same_after_one_that_was_alike(self) -> None:
        """A head that differs from the one before in its length alone is remembered in place of that."""
        self.connection.send(self.alike(1, 2) + b"ab")
        for _ in range(2):
            self.connection.send(self.alike(1, 3) + b"cde")
        self.assertIs(self.heads[1], self.heads[2])
        self.assertIsNot(self.heads[0], self.heads[1])
        self.assertEqual([b"ab", b"cde", b"cde"], [request.body for request in self.handler.requests])

    def test_two_in_turn_that_are_alike(self) -> None:
        """Each of the two may have another id each time, and is read by what it was before."""
        for number in range(4):
            alike = self.alike(number, 2)
            self.connection.send(alike + b"ab").send(alike.replace(b"POST", b"PUT") + b"cd")
            if not number:
                for head in self.heads:
                    head.plan = cast(Any, head.line.method)
        self.assertEqual([b"POST", b"PUT"] * 4, [head.plan for head in self.heads])
        self.assertEqual([b"ab", b"cd"] * 4, [request.body for request in self.handler.requests])
        self.assertEqual(["0", "0", "3", "3"], [self.handler.requests[at].request_id for at in (0, 1, 6, 7)])

    def test_more_fields(self) -> None:
        """A head that begins like the last one and has another field is another, and so is one that ends before."""
        self.connection.send(POST + b"ab").send(POST[:-2] + b"X-B: 2\r\n\r\nab").send(POST + b"ab")
        self.assertEqual([False, True, False], [b"x-b" in head.fields for head in self.heads])

    def test_in_pieces(self) -> None:
        """A head that comes in pieces is read as a whole, and is not remembered."""
        for at in range(1, len(POST)):
            self.connection.send(POST[:at]).send(POST[at:] + b"ab")
        self.assertEqual(len(POST) - 1, len(set(self.heads)))

    def test_empty_line_before(self) -> None:
        """The empty line that may stand before a request is part of what is compared."""
        self.connection.send(b"\r\n" + POST + b"ab").send(POST + b"ab").send(b"\r\n" + POST + b"ab").send(POST + b"ab")
        self.assertEqual(2, len(set(self.heads)))
        self.assertEqual([len(POST) + 4, len(POST) + 2] * 2, [request.bytes_in for request in self.handler.requests])

    def alike(self, number: int, length: int) -> bytes:
        """A head like others but for its id and the length of the body."""
        return POST.replace(b"X-A: 1", b"X-Request-Id: %d" % number).replace(b"Length: 2", b"Length: %d" % length)

    def test_bodies_of_heads_that_are_alike(self) -> None:
        """Of a body that comes in pieces nothing is missing, and what comes behind it is the next request."""
        for length in (0, 1, 3, 9):
            connection = Connection(self.site)
            for number in (1, 2):
                connection.send(self.alike(number, 2) + b"ab")
            whole, body = self.alike(3, length), b"abcdefghi"[:length]
            self.handler.requests.clear()
            connection.send(whole + body).send(whole + body[:1]).send(body[1:])
            connection.send(whole + body + self.alike(4, 1) + b"x" + self.alike(5, 1)).send(b"y")
            found = [(each.request_id, each.body) for each in self.handler.requests]
            self.assertEqual([("3", body)] * 3 + [("4", b"x"), ("5", b"y")], found)

    def test_large_bodies_of_heads_that_are_alike(self) -> None:
        """They are refused as others are, by the limits of now."""
        for limits, length in ((LIMITS, LIMITS.max_body + 1), (attrs.evolve(LIMITS, max_body=3), 4)):
            self.site.limits = LIMITS
            connection = Connection(self.site)
            for number in (1, 2, 3):
                connection.send(self.alike(number, 2) + b"ab")
            self.site.limits = limits
            connection.send(self.alike(4, length) + b"x" * length)
            statuses = [each.status for each in connection.responses("POST", "POST", "POST", "POST")]
            self.assertEqual([200, 200, 200, 413], statuses)

    def test_large(self) -> None:
        """A head that is large, or has many fields, is not remembered."""
        for size, remembered in ((MAX_BYTES, True), (MAX_BYTES + 1, False)):
            begin = encode_request("GET", "/", {"X": ""})
            data = begin[:-4] + b"x" * (size - len(begin)) + begin[-4:]
            self.connection.send(data).send(data)
            self.assertIs(remembered, self.one_head())
        for number, remembered in ((MAX_FIELDS, True), (MAX_FIELDS + 1, False)):
            data = encode_request("GET", "/", [("Host", "a"), *((f"X-{n}", "") for n in range(number - 1))])
            self.connection.send(data).send(data)
            self.assertIs(remembered, self.one_head())

    def test_refused(self) -> None:
        """What is refused is refused again, with the same words."""
        bodies = []
        for _ in range(2):
            connection = Connection(self.site).send(POST + b"ab").send(POST.replace(b"Host", b"Post"))
            bodies.append(connection.responses("POST", "POST")[1].body)
        self.assertEqual(1, len(set(bodies)))
        self.assertIn(b"no Host field", bodies[0])

    def test_too_large_a_body(self) -> None:
        """How large a body may be is looked at each time."""
        self.connection.send(POST + b"ab")
        self.site.limits = attrs.evolve(LIMITS, max_body=1)
        self.connection.send(POST + b"ab")
        self.assertEqual([200, 413], [each.status for each in self.connection.responses("POST", "POST")])

    def test_new_limits(self) -> None:
        """A head that has become too large is refused, also where another was read since."""
        for between in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            self.site.limits = LIMITS
            connection = Connection(self.site).send(POST + b"ab")
            self.site.limits = attrs.evolve(LIMITS, max_header=30)
            connection.send(between[:5]).send(between[5:]).send(POST + b"ab")
            self.assertEqual(431, connection.responses("POST", "POST")[-1].status)

    def test_other_connections(self) -> None:
        """Nothing is remembered from one connection to the next, nor when it has ended."""
        self.connection.send(POST + b"ab")
        Connection(self.site).send(POST + b"ab")
        self.assertFalse(self.one_head())
        self.connection.hang_up()
        self.assertIsNone(self.connection.channel._last)

    def test_closing(self) -> None:
        """A head that asks to close is none that could be remembered."""
        self.connection.send(encode_request("GET", "/", {"Connection": "close"}))
        self.assertFalse(self.connection.open)
        self.assertIsNone(self.connection.channel._last)

    def test_expectations(self) -> None:
        """A client that waits for 100 (Continue) gets it each time, unless its body is there already."""
        data = encode_request("PUT", "/", {"Expect": "100-continue", "Content-Length": "2"})
        self.connection.send(data).send(b"ab").send(data).send(b"cd").send(data + b"ef")
        self.assertEqual(1, len(set(self.heads)))
        self.assertEqual([100, 200, 100, 200, 200], [each.status for each in self.connection.responses(*["PUT"] * 3)])

    def test_ways_of_reading(self) -> None:
        """How a body is read, and how much of it, is asked for once where handlers have it whole."""
        asked: list[bytes] = []

        def streams(request: Request) -> bool:
            asked.append(request.path)
            request.max_body = 5 if request.path == b"/whole" else 1
            return request.path == b"/pieces"

        site = make_site(self.handler, streams=streams)
        for path, body, status in (("/whole", b"hello", 200), ("/whole", b"hello!", 413), ("/pieces", b"", 200)):
            connection = Connection(site)
            data = encode_request("PUT", path, body=body)
            connection.send(data).send(data).send(data)
            answers = connection.responses("PUT", "PUT", "PUT")
            self.assertEqual([status] * (3 if status == 200 else 1), [each.status for each in answers])
        self.assertEqual([b"/whole", b"/whole"], asked)
        self.assertEqual([5] * 3, [request.max_body for request in self.handler.requests if request.body])

    def test_read_in_pieces(self) -> None:
        """A body that handlers read in pieces is read so each time."""
        site = make_site(self.handler, streams=lambda request: True)
        bodies: list[object] = []

        @deferred
        async def read(request: Request) -> None:
            bodies.append((request.body, b"".join([piece async for piece in request.pieces()])))
            answer_ok(request)

        self.handler.handle = read
        Connection(site).send(POST + b"ab").send(POST + b"cd").send(POST).send(b"ef")
        self.assertEqual([(b"", b"ab"), (b"", b"cd"), (b"", b"ef")], bodies)
        self.assertEqual(1, len(set(self.heads)))

    def test_time(self) -> None:
        """Each request has its own time."""
        self.handler.handle = keep_waiting
        clock = self.site.hooks.reactor
        assert hasattr(clock, "advance")
        for _ in range(2):
            self.connection.send(POST + b"ab")
            clock.advance(1)
            answer_ok(self.handler.requests[-1])
        self.assertEqual([0, 1], [request.started for request in self.handler.requests])


class UnchangedFieldsTests(SynchronousTestCase):
    """What handlers are given of a head stays as it was read, whatever they do with it."""

    def test_headers_of_twisted(self) -> None:
        """twisted.web's headers are a copy."""
        app = Klein()

        @app.route("/", methods=["GET"])
        def root(request: Request) -> bytes:
            request.requestHeaders.addRawHeader(b"X-A", b"2")
            request.requestHeaders.setRawHeaders(b"X-B", [b"3"])
            values = request.requestHeaders.getRawHeaders(b"x-c")
            assert isinstance(values, list)
            values.append(b"4")
            request.requestHeaders.removeHeader(b"X-D")
            seen.append(dict(request.fields))
            return b'{"status": "ok"}'

        seen: list[object] = []
        data = encode_request("GET", "/", {"Host": "a", "X-A": "1", "X-C": "1", "X-D": "1"})
        Connection(make_site(app.resource())).send(data).send(data)
        fields = {b"host": [b"a"], b"x-a": [b"1"], b"x-c": [b"1"], b"x-d": [b"1"]}
        self.assertEqual([fields, fields], seen)
