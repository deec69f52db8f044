"""Reading pages over v2: what is on them, in which form, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.http.api_support import LINES, OTHER, OWNER, MessagesTestCase
from tests.http.responses import Response

EMPTY = "is empty; leave it out, or give it a value"
TWICE = "is given more than once"
BAD_TIME = "is neither a time (RFC 3339, or seconds since 1970) nor one of oldest, newest, now"
KNOWN = "after, since, until, order, limit, max_bytes, partition, wait, fresh, json"


class ReadingTestCase(MessagesTestCase):
    """A queue of three partitions."""

    partitions = 3

    def fill(self, count: int, start: int = 0) -> list[str]:
        """Append messages, one a second, to one partition after another; their ids."""
        ids = []
        for number in range(start, start + count):
            ids.append(self.appended(str(number), f"?partition={number % 3 + 1}"))
            self.clock.advance(1)
        return ids

    def ids(self, query: str = "", queue: str = "q") -> list[str]:
        """The ids on a page."""
        return [message["id"] for message in self.page(query, queue)["messages"]]

    def walk(self, query: str = "", next: str | None = None) -> Iterator[dict[str, Any]]:
        """Pages, each from where the one before ended, as long as they say that there is more.

        :param next: where to begin.
        """
        rest = "&".join(part for part in query.split("&") if not part.startswith("since=")) or "order=asc"
        page = self.page(query if next is None else f"{rest}&after={next}")
        yield page
        while page["more"]:
            page = self.page(f"{rest}&after={page['next']}")
            yield page

    def all(self, query: str = "") -> list[str]:
        """The ids on all pages."""
        return [message["id"] for page in self.walk(query) for message in page["messages"]]

    def by_links(self, query: str) -> list[str]:
        """The ids on all pages, each of which is where the one before links to."""
        path, found = f"/v2/app{self.path(f'?{query}')}", []
        while path:
            response = self.ask("GET", path)
            found += [message["id"] for message in self.expect(200, response)["messages"]]
            path = (response.header("link") or "")[1:].partition(">")[0]
        return found


class PageTests(ReadingTestCase):
    """What is on a page."""

    def test_empty(self) -> None:
        """There is a place to go on from, though there is nothing."""
        page = self.page()
        self.assertEqual((page["messages"], page["more"], page["resume"]), ([], False, "exact"))
        id = self.appended("x")
        page = self.page(f"after={page['next']}")
        self.assertEqual(([message["id"] for message in page["messages"]], page["resume"]), ([id], "exact"))

    def test_one_order(self) -> None:
        """Partitions are one log, by time."""
        ids = self.fill(10)
        self.assertEqual(self.ids(), ids)
        self.assertEqual(self.ids("order=asc"), ids)
        self.assertEqual(self.ids("order=desc"), ids[::-1])

    def test_limit(self) -> None:
        """A hundred, unless it says otherwise; the last page knows that it is."""
        self.expect(201, self.batch([{"body": "x"}] * 101))
        page = self.page()
        self.assertEqual((len(page["messages"]), page["more"]), (100, True))
        self.assertEqual(len(self.page("limit=101")["messages"]), 101)
        self.assertEqual([self.page(f"limit={limit}")["more"] for limit in (1, 100, 101, 102, 1000)],
                         [True, True, False, False, False])  # fmt: skip

    def test_partitions(self) -> None:
        """Any of them, each once, in whatever order they are named."""
        ids = self.fill(9)
        for query, kept in (
            ("partition=2", (1,)),
            ("partition=3&partition=1", (0, 2)),
            ("partition=1&partition=1", (0,)),
            ("partition=1&partition=2&partition=3", (0, 1, 2)),
        ):
            expected = [id for number, id in enumerate(ids) if number % 3 in kept]
            self.assertEqual(self.ids(query), expected)
            self.assertEqual(self.ids(f"{query}&order=desc"), expected[::-1])
            self.assertEqual(self.all(f"{query}&limit=2"), expected)
            self.assertEqual(self.by_links(f"{query}&limit=2&order=desc"), expected[::-1])

    def test_times(self) -> None:
        """Since is the first that is wanted, until the first that is not, whichever the order."""
        ids = self.fill(6)
        stamps = [message["timestamp"] for message in self.page()["messages"]]
        for order, way in (("asc", 1), ("desc", -1)):
            self.assertEqual(self.ids(f"order={order}&since={stamps[2]}"), ids[2:][::way])
            self.assertEqual(self.ids(f"order={order}&until={stamps[2]}"), ids[:2][::way])
            self.assertEqual(self.ids(f"order={order}&since={stamps[1]}&until={stamps[4]}"), ids[1:4][::way])
            self.assertEqual(self.ids(f"order={order}&since={stamps[1]}&until={stamps[1]}"), [])
            self.assertEqual(self.ids(f"order={order}&since={stamps[4]}&until={stamps[1]}"), [])
            self.assertEqual(self.all(f"order={order}&since={stamps[1]}&until={stamps[5]}&limit=1"), ids[1:5][::way])
            self.assertEqual(
                self.by_links(f"order={order}&since={stamps[1]}&until={stamps[5]}&limit=1"), ids[1:5][::way]
            )

    def test_ways_to_tell_a_time(self) -> None:
        """RFC 3339 with any offset, or seconds since 1970; finer than a tick is rounded up."""
        ids = self.fill(4)
        for time in ("1700000002", "1700000002.0", "2023-11-14T22:13:22Z", "2023-11-14T23:13:22%2B01:00",
                     "2023-11-14t22:13:22.000z", "2023-11-14T18:13:22-04:00", "0001700000001.99999995"):  # fmt: skip
            self.assertEqual(self.ids(f"since={time}"), ids[2:], time)
            self.assertEqual(self.ids(f"until={time}"), ids[:2], time)
        finer = f"{self.page()['messages'][2]['timestamp'][:-1]}5Z"
        self.assertEqual((self.ids(f"since={finer}"), self.ids(f"until={finer}")), (ids[3:], ids[:3]))
        self.assertEqual(self.ids("since=0&until=99999999999999999999"), ids)
        self.assertEqual(self.ids("since=99999999999999999999"), [])
        self.assertEqual(self.ids("until=0"), [])

    def test_bytes(self) -> None:
        """As many bodies as fit; a message that is larger than that comes alone."""
        sizes = [10, 20, 70, 10, 100, 200, 0, 0, 99]
        ids = [self.appended(b"x" * size) for size in sizes]
        pages = [[len(message["body"]) for message in page["messages"]] for page in self.walk("max_bytes=100")]
        self.assertEqual(pages, [[10, 20, 70], [10], [100], [200], [0, 0, 99]])
        pages = [
            [len(message["body"]) for message in page["messages"]] for page in self.walk("max_bytes=100&order=desc")
        ]
        self.assertEqual(pages, [[99, 0, 0], [200], [100], [10, 70, 20], [10]])
        self.assertEqual(self.all("max_bytes=1"), ids)
        self.assertEqual(self.all("max_bytes=16777216"), ids)

    def test_default_bytes(self) -> None:
        """1 MiB of bodies; those of all partitions count, as bytes."""
        for number in range(5):
            self.append(b"\xff" * (1 << 18), f"?partition={number % 3 + 1}")
        pages = [len(page["messages"]) for page in self.walk()]
        self.assertEqual(pages, [4, 1])
        self.assertEqual([len(page["messages"]) for page in self.walk("max_bytes=16777216")], [5])
        self.assertEqual([len(page["messages"]) for page in self.walk(f"max_bytes={(1 << 19) + 1}")], [2, 2, 1])

    def test_bodies(self) -> None:
        """Text where it is UTF-8, base64 otherwise; an answer is ASCII alone."""
        self.append("é\0\u2028\N{PILE OF POO}".encode())
        self.append(b"\xff\xfe")
        response = self.send("GET", self.path())
        self.assertTrue(response.body.isascii())
        one, other = response.json["messages"]
        self.assertEqual((one["body"], "body_base64" in one), ("é\0\u2028\N{PILE OF POO}", False))
        self.assertEqual((other["body_base64"], "body" in other), ("//4=", False))

    def test_expired(self) -> None:
        """What has expired is not there, and does not stand in the way."""
        self.expect(201, self.batch([{"body": str(number), "ttl": 1 if number % 10 else 60} for number in range(300)]))
        self.clock.advance(1.1)
        expected = [str(number) for number in range(0, 300, 10)]
        self.assertEqual(self.texts(), expected)
        self.assertEqual([m["body"] for page in self.walk("limit=7") for m in page["messages"]], expected)
        self.assertEqual(
            [m["body"] for page in self.walk("limit=7&order=desc") for m in page["messages"]], expected[::-1]
        )

    def test_reading_changes_nothing(self) -> None:
        """Readers do not notice each other."""
        ids = self.fill(5)
        pages = [self.page("limit=3"), self.page("limit=3")]
        self.assertEqual(pages[0], pages[1])
        self.assertEqual([self.ids(f"after={page['next']}") for page in pages], [ids[3:]] * 2)

    def test_public(self) -> None:
        """Everyone reads a public queue; false credentials are not none."""
        self.make("public", type="public")
        self.make("shared", principals=["app:other"])
        for queue in ("public", "shared", "q"):
            self.appended("x", queue=queue)
        for queue, headers, code in (
            ("public", {}, None),
            ("public", OTHER, None),
            ("public", {"Authorization": "Application nope"}, "unauthorized"),
            ("shared", OTHER, None),
            ("shared", OWNER, "forbidden"),
            ("shared", {}, "unauthorized"),
            ("q", OTHER, "forbidden"),
            ("q", {}, "unauthorized"),
            ("nope", OWNER, "no-such-queue"),
        ):
            response = self.send("GET", self.path(queue=queue), None, headers)
            if code is None:
                self.assertEqual([message["body"] for message in self.expect(200, response)["messages"]], ["x"])
            else:
                self.problem(code, response)

    def test_bad(self) -> None:
        """Each thing that is wrong is named."""
        limit, partition = "is not a whole number from 1 to 1000", "is not a whole number from 1 to 3"
        for query, name, text in (
            ("partition=4", "partition", f'"4" {partition}'),
            ("partition=1&partition=", "partition", EMPTY),
            ("partition=1&partition=x", "partition", f'"x" {partition}'),
            ("since=2023-11-14T22:13:20+01:00", "since", f'"2023-11-14T22:13:20 01:00" {BAD_TIME}'),
            ("since=2023-13-14T22:13:20Z", "since", f'"2023-13-14T22:13:20Z" {BAD_TIME}'),
            ("after=x&since=1", "since", "cannot be given together with after"),
            ("after=&since=1", "after", EMPTY),
            ("limit=1;order=desc", "limit", f'"1;order=desc" {limit}'),
        ):
            response = self.send("GET", self.path(f"?{query}"))
            self.assertEqual(self.errors("invalid-parameters", response), {name: text}, query)
        query = "limit=x&order=x&since=x&until=x&partition=9&wait=x&fresh=x&max_bytes=x&what=x"
        errors = self.errors("invalid-parameters", self.send("GET", self.path(f"?{query}")))
        self.assertEqual(set(errors), {part.partition("=")[0] for part in query.split("&")})

    def test_very_bad(self) -> None:
        """Some of what is wrong is named, and the answer stays small, whatever is sent."""
        many = "&".join(f"x{number}" for number in range(9000))
        for query in ("&" * 60_000, "a&" * 30_000, "limit=1&" * 7000, many, "&".join(["partition=9"] * 5000)):
            response = self.send("GET", self.path(f"?{query}"))
            self.assertLessEqual(len(self.problem("invalid-parameters", response)["errors"]), 20)
            self.assertLess(len(response.body), 10_000)


class FormTests(ReadingTestCase):
    """The forms of a page."""

    def lines(self, response: Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The messages in lines, and the last line."""
        self.assertEqual((response.status, response.header("content-type")), (200, LINES))
        self.assertTrue(response.body.endswith(b"\n"))
        *messages, last = [json.loads(line) for line in response.body.splitlines()]
        return messages, last

    def accepted(self, accept: str, query: str = "") -> Response:
        return self.raw("GET", self.path(query), {**OWNER, "Accept": accept})

    def test_lines(self) -> None:
        """The same messages, one a line, and what else comes with a page in the last one."""
        self.fill(3)
        self.append(b"\xff\n")
        for query in ("", "?limit=2", "?order=desc", "?until=0"):
            page = self.page(query[1:])
            response = self.accepted(LINES, query)
            messages, last = self.lines(response)
            self.assertEqual({"messages": messages, **last}, page)
            self.check_page({"messages": messages, **last}, response)

    def test_truncated(self) -> None:
        """It is said in the last line."""
        ids = self.fill(4)
        self.assertEqual(self.send("DELETE", self.path(f"?before={ids[2]}")).status, 204)
        messages, last = self.lines(self.accepted(LINES, f"?after={ids[0]}"))
        self.assertEqual(list(last), ["next", "more", "stable_until", "resume", "first"])
        self.assertEqual([m["id"] for m in messages], ids[2:])

    def test_accept(self) -> None:
        """Lines for who asks for them, and JSON for everybody else, whatever they ask for."""
        self.fill(1)
        for accept in (LINES, LINES.upper(), f"{LINES};q=0.5", f"text/html, {LINES}",
                       f"{LINES}, application/json;q=0.9", f"{LINES} ; q=1.000",
                       f"application/json;q=0.1,{LINES};q=0.2"):  # fmt: skip
            self.assertEqual(self.accepted(accept).header("content-type"), LINES, accept)
        for accept in ("", "*/*", "application/*", "application/json", "text/html", f"{LINES};q=0", f"{LINES};q=0.000",
                       f"{LINES};q=0.1, application/json", f"{LINES};q=x", f"x{LINES}", f"{LINES}x",
                       "nonsense"):  # fmt: skip
            response = self.accepted(accept)
            self.assertEqual((response.status, response.header("content-type")), (200, "application/json"), accept)
        fields = [*OWNER.items(), ("Accept", "text/html"), ("Accept", LINES)]
        self.assertEqual(self.raw("GET", self.path(), fields).header("content-type"), LINES)
        self.assertEqual(self.accepted(f"{'x,' * 99}{LINES}").header("content-type"), LINES)
        self.assertEqual(self.accepted(f"{'x,' * 100}{LINES}").header("content-type"), "application/json")
        response = self.accepted(LINES, "?limit=0")
        self.problem("invalid-parameters", response)

    def test_head(self) -> None:
        """As GET, without the body; it does not wait either way."""
        self.fill(5)
        for query, accept in (("", "*/*"), ("?limit=2", "*/*"), ("?limit=2", LINES), ("?limit=0", "*/*")):
            get = self.accepted(accept, query)
            head = self.raw("HEAD", self.path(query), {**OWNER, "Accept": accept})
            self.assertEqual((head.status, head.body), (get.status, b""))
            for name in ("content-type", "content-length", "link", "cache-control", "vary"):
                self.assertEqual(head.header(name), get.header(name), name)

    def test_pieces(self) -> None:
        """A large page leaves in pieces, and is the same."""
        bodies = [bytes([65 + number]) * 200_000 for number in range(20)] + [b"\xff" * 500_000, b"last"]
        for body in bodies:
            self.append(body)
        query = "?max_bytes=16777216"
        response = self.send("GET", self.path(query))
        self.assertEqual((response.status, response.header("transfer-encoding")), (200, "chunked"))
        page = response.json
        self.check_page(page, response)
        self.assertEqual([m["body"] for m in page["messages"] if "body" in m],
                         [body.decode() for body in bodies if body[0] < 255])  # fmt: skip
        self.assertEqual((len(page["messages"]), page["more"]), (22, False))
        messages, last = self.lines(self.accepted(LINES, query))
        self.assertEqual({"messages": messages, **last}, page)
        self.assertEqual(self.raw("HEAD", self.path(query)).status, 200)

    def test_pieces_of_headers(self) -> None:
        """Also where it is the headers that are large."""
        headers = {"a": "x" * 8000}
        for _ in range(2):
            self.expect(201, self.batch([{"body": "", "headers": headers}] * 100))
        response = self.send("GET", self.path("?limit=1000"))
        self.assertEqual((response.status, response.header("transfer-encoding")), (200, "chunked"))
        self.assertEqual([m["headers"] for m in response.json["messages"]], [headers] * 200)

    def test_old_clients(self) -> None:
        """HTTP/1.0 has no chunks: the end of the connection is that of the answer."""
        for _ in range(3):
            self.append(b"x" * 200_000)
        connection = self.client.start("OPTIONS", "/v2/app", {})
        connection.send(b"GET /v2/app/queues/q/messages HTTP/1.0\r\nHost: x\r\n" +
                        f"Authorization: {OWNER['Authorization']}\r\n\r\n".encode())  # fmt: skip
        _, response = connection.responses("OPTIONS", "GET")
        self.assertEqual((response.closes, len(response.json["messages"])), (True, 3))

    def test_slow_reader(self) -> None:
        """What a client does not take waits for it; one that goes away leaves nothing behind."""
        for _ in range(20):
            self.append(b"x" * 200_000)
        timers = len(self.clock.getDelayedCalls())
        for gone in (False, True):
            connection = self.client.start("OPTIONS", "/v2/app", {})
            connection.transport.greedy = False
            path = "/v2/app/queues/q/messages?max_bytes=16777216"
            connection.send(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {OWNER['Authorization']}\r\n\r\n".encode()
            )
            self.assertLess(len(connection.received), 1_000_000)
            if gone:
                connection.hang_up()
                continue
            for _ in range(40):
                connection.transport.read()
            _, response = connection.responses("OPTIONS", "GET")
            self.assertEqual(len(response.json["messages"]), 20)
            connection.hang_up()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)
        self.assertEqual(self.flushLoggedErrors(), [])
