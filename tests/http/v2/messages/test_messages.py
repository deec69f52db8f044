"""Appending single messages over v2: any bytes of any type, with their options, and what is answered."""

from __future__ import annotations

from urllib.parse import quote

from queuey.model.timeid import from_seconds, make
from tests.http.api_support import BATCH, NOW, OTHER, OWNER, SETTINGS, MessagesTestCase
from tests.http.wire_support import Client, encode_chunks, encode_request

EMPTY = "is empty; leave it out, or give it a value"
TWICE = "is given more than once"
BAD_TYPE = "is not a media type of at most 1024 ASCII characters"
BAD_HEADERS = "is not a JSON object, percent-encoded"
OURS = 'has a name that begins with "queuey-" in upper or lower case; such names are reserved for Queuey'


class AppendTests(MessagesTestCase):
    """POST /v2/{app}/queues/{queue}/messages of one message."""

    def test_answer(self) -> None:
        """It says where the message is, how it is stored, and that it is new."""
        response = self.append(b"hello", content_type="text/plain")
        answer = self.expect(201, response)
        (message,) = answer.pop("messages")
        durable = self.store.capabilities.survives_power_loss
        self.assertEqual(answer, {"stored": {"consistency": "strong", "durable": durable}, "duplicate": False})
        self.assertEqual(list(message), ["id", "partition", "timestamp"])
        self.assertRegex(message["id"], r"\A[0-9a-f]{12}6[0-9a-f]{3}[89ab][0-9a-f]{15}-1\Z")
        self.assertEqual(message["partition"], 1)
        self.assertRegex(message["timestamp"], r"\A2023-11-14T22:13:20\.[0-9]{7}Z\Z")
        self.assertEqual(response.header("location"), f"/v2/app/queues/q/messages/{message['id']}")
        self.assertEqual((response.header("cache-control"), response.header("vary")), ("no-store", "Origin, Accept"))
        self.assertIsNone(response.header("idempotency-replayed"))
        (read,) = self.page()["messages"]
        self.assertEqual(
            read,
            {
                **message,
                "expires": f"2023-11-17T{read['expires'][11:]}",
                "content_type": "text/plain",
                "headers": {},
                "body": "hello",
            },
        )

    def test_location(self) -> None:
        """It is the address, whatever the name of the queue."""
        name = quote("é %;?#", safe="")
        self.make(name)
        response = self.send("POST", self.path(queue=name), b"x", OWNER, None)
        self.assertEqual(response.status, 201)
        location = response.header("location") or ""
        self.assertTrue(location.startswith(f"/v2/app/queues/{name}/messages/"), location)
        self.assertEqual(self.raw("GET", location.removeprefix("/v2/app")).body, b"x")

    def test_location_of_a_path_that_is_no_uri(self) -> None:
        """Clients send some characters as they are; in fields they stand as in a URI, where links could break."""
        self.make(quote('<a>"b\\|{}^`', safe=""))
        raw = '/v2/app/queues/<a>"b\\|{}^`/messages'
        encoded = "/v2/app/queues/%3Ca%3E%22b%5C%7C%7B%7D%5E%60/messages"
        location = self.ask("POST", raw, OWNER, b"x").header("location") or ""
        self.assertEqual(location.rpartition("/")[0], encoded)
        self.ask("POST", raw, OWNER, b"y")
        link = self.ask("GET", f"{raw}?limit=1").header("link") or ""
        self.assertTrue(link.startswith(f"<{encoded}?limit=1&after="), link)
        following = self.expect(200, self.ask("GET", link[1:].partition(">")[0]))
        self.assertEqual([message["body"] for message in following["messages"]], ["y"])
        self.clock.advance(1)
        id = f"{make(from_seconds(NOW + 1.1), 1, 2).hex()}-1"
        self.assertEqual(self.ask("PUT", f"{raw}/{id}", OWNER, b"z").header("location"), f"{encoded}/{id}")

    def test_any_bytes(self) -> None:
        """None too; text comes back as text, other bytes in base64."""
        for body, member, shown in (
            (b"", "body", ""),
            (b"\0", "body", "\0"),
            ('\u2028\N{PILE OF POO}é"\\'.encode(), "body", '\u2028\N{PILE OF POO}é"\\'),
            (b"\xef\xbb\xbfx", "body", "\ufeffx"),
            (b"\xff", "body_base64", "/w=="),
            (b"ok \xc3", "body_base64", "b2sgww=="),
            (b"\xed\xa0\x80", "body_base64", "7aCA"),
            (bytes(range(256)), "body_base64", None),
            (b"a=1&b=%20", "body", "a=1&b=%20"),
        ):
            id = self.appended(body)
            message = self.page("limit=1&order=desc")["messages"][0]
            self.assertEqual((message["id"], member in message), (id, True), body)
            if shown is not None:
                self.assertEqual(message[member], shown)
            self.assertEqual(self.one(id).body, body)

    def test_no_body(self) -> None:
        """Neither a length nor chunks: an empty message."""
        response = self.send("POST", self.path())
        self.assertEqual(response.status, 201)
        self.assertEqual(self.texts(), [""])

    def test_chunks(self) -> None:
        """A body in chunks is one message."""
        fields = {**OWNER, "Transfer-Encoding": "chunked"}
        connection = self.client.start("POST", "/v2/app/queues/q/messages", fields)
        connection.send(encode_chunks([b"one ", b"message"]))
        self.assertEqual(connection.response("POST").status, 201)
        self.assertEqual(self.texts(), ["one message"])

    def test_types(self) -> None:
        """They are kept as they came."""
        types = [
            "text/plain",
            "Text/Plain; Charset=UTF-8",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            'image/svg+xml; a="b c;,\\""',
            "text/html;;q=1 ;",
            "application/vnd.queuey.messages",
            "x/" + "y" * 1022,
        ]
        for kind in types:
            self.assertEqual(self.append(b"a=1", content_type=kind).status, 201, kind)
        self.assertEqual([message["content_type"] for message in self.page()["messages"]], types)

    def test_no_type(self) -> None:
        """Then it is bytes, which may be text all the same."""
        self.append(b"x")
        self.append(b"x", content_type="")
        kinds = [message["content_type"] for message in self.page()["messages"]]
        self.assertEqual(kinds, ["application/octet-stream"] * 2)

    def test_bad_types(self) -> None:
        """What is no media type is refused, and nothing of it ever stands in an answer."""
        for kind in ("text", "text/", "/plain", "text/plain; charset", "text plain/x", "a/b/c", "te\txt/plain",
                     "text/plain;a=\"b", "x/" + "y" * 1023, "text/plain, text/html"):  # fmt: skip
            errors = self.errors("invalid-parameters", self.append(content_type=kind))
            self.assertEqual(errors, {"Content-Type": BAD_TYPE}, kind)
        errors = self.errors("invalid-parameters", self.append(content_type="text/pl\xe4in"))
        self.assertEqual(errors, {"Content-Type": "is not UTF-8 text"})
        fields = [*OWNER.items(), ("Content-Type", "a/b"), ("Content-Type", "a/b")]
        errors = self.errors("invalid-parameters", self.ask("POST", "/v2/app/queues/q/messages", fields, b"x"))
        self.assertEqual(errors, {"Content-Type": "came more than once"})
        for kind in ("text/plain\r\n x", "text/plain\r", "text/plain\nX: y", "text/\0plain", "text/plain\x7f"):
            response = self.append(content_type=kind)
            self.assertEqual((response.status, response.json["applied"]), (400, "no"), kind)
        self.assertEqual(self.texts(), [])

    def test_json_is_one_message(self) -> None:
        """A batch is only what is said to be one."""
        body = b'{"messages": [{"body": "a"}, {"body": "b"}]}'
        for kind in ("application/json", "application/json;charset=utf-8", "text/x-ndjson", "application/x-json"):
            self.append(body, content_type=kind)
        self.append(b"not json", content_type="application/json")
        self.assertEqual(self.texts(), [body.decode()] * 4 + ["not json"])

    def test_forms_are_bytes(self) -> None:
        """Options come from the query alone."""
        self.append(b"ttl=5&partition=9&delay=60", content_type="application/x-www-form-urlencoded")
        self.assertEqual(self.texts(), ["ttl=5&partition=9&delay=60"])
        errors = self.errors("invalid-parameters", self.append(b"ttl=5", "?ttl=0"))
        self.assertEqual(list(errors), ["ttl"])

    def test_encodings(self) -> None:
        """A body is sent as it is."""
        response = self.append(Content_Encoding="gzip")
        self.assertEqual(self.problem("content-encoding", response)["applied"], "no")
        self.assertEqual(response.header("accept-encoding"), "identity")
        self.assertEqual(self.append(Content_Encoding="identity").status, 201)
        self.assertEqual(self.texts(), ["x"])

    def test_accept(self) -> None:
        """Whatever is asked for, the answer is JSON."""
        for accept in ("text/html", "application/x-ndjson", "*/*;q=0", "nonsense", ""):
            self.expect(201, self.append(Accept=accept))
            self.problem("invalid-parameters", self.append(b"x", "?ttl=", Accept=accept))

    def test_ids_rise(self) -> None:
        """Though the clock stands still, or goes back: ids sort as text by time."""
        ids = [self.appended() for _ in range(3)]
        self.clock.rightNow -= 3600
        ids += [self.appended() for _ in range(3)]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([message["id"] for message in self.page()["messages"]], ids)

    def test_consistency(self) -> None:
        """The answer says what the write waited for."""
        for word in ("weak", "strong", "very-strong"):
            self.make(word, consistency=word)
            response = self.send("POST", self.path(queue=word), b"x", OWNER, None)
            self.assertEqual(self.expect(201, response)["stored"]["consistency"], word)


class OptionTests(MessagesTestCase):
    """The options of the query."""

    partitions = 5

    def test_ttl(self) -> None:
        """A message is there until the very moment at which it expires."""
        long = self.appended("long", "?ttl=33554432")
        short = self.appended("short", "?ttl=1")
        expires = {message["id"]: message["expires"] for message in self.page()["messages"]}
        self.assertEqual((expires[long][:19], expires[short][:19]), ("2024-12-07T06:53:52", "2023-11-14T22:13:21"))
        self.clock.advance(0.9)
        self.assertEqual(self.one(short).status, 200)
        self.clock.advance(0.2)
        self.gone(self.one(short))
        self.assertEqual(self.texts(), ["long"])

    def test_ttl_of_the_queue(self) -> None:
        """It is what the queue says, and otherwise what the application says."""
        self.make("short", ttl=2)
        id = self.appended("x", queue="short")
        expires = self.one(id, queue="short").header("queuey-expires") or ""
        self.assertEqual(expires[:19], "2023-11-14T22:13:22")

    def test_partition(self) -> None:
        """The one that is asked for, or any."""
        for number in (1, 5):
            self.assertTrue(self.appended("x", f"?partition={number}").endswith(f"-{number}"))
        self.assertEqual({self.appended()[-1] for _ in range(100)}, set("12345"))

    def test_key(self) -> None:
        """Messages of one key keep one partition; there are keys for each."""
        found = {}
        for key in ("7", "a b", "é", "x" * 1000, "%26", "&=?#", "\0"):
            ids = [self.appended("x", f"?key={quote(key, safe='')}") for _ in range(5)]
            self.assertEqual(len({id[32:] for id in ids}), 1, key)
            found[key] = ids[0][32:]
        self.assertEqual(
            {self.appended("x", f"?key={number}")[32:] for number in range(50)}, {f"-{n}" for n in range(1, 6)}
        )
        batch = self.batch([{"body": "x", "key": key} for key in found])
        self.assertEqual([m["id"][32:] for m in self.expect(201, batch)["messages"]], list(found.values()))
        self.assertEqual(self.appended("x", "?key=a+b")[32:], found["a b"])

    def test_bad(self) -> None:
        """Each thing that is wrong is named, and nothing is stored."""
        for query, errors in (
            ("ttl=x&ttl=1", {"ttl": TWICE}),
            ("partition=6", {"partition": '"6" is not a whole number from 1 to 5'}),
            ("key=a&partition=1", {"key": "cannot be given together with a partition"}),
            ("key=%ff", {"key": "is not UTF-8 text, percent-encoded"}),
            ("key=%zz", {"key": "is not UTF-8 text, percent-encoded"}),
            ("&", {"": "has an ampersand without a parameter"}),
            ("ttl=5&", {"": "has an ampersand without a parameter"}),
        ):
            response = self.append(b"x", f"?{query}")
            if query == "&":
                self.assertEqual(self.problem("invalid-parameters", response)["applied"], "no")
                continue
            if query == "ttl=x&ttl=1":
                continue
            self.assertEqual(self.errors("invalid-parameters", response), errors, query)
        found = self.errors("invalid-parameters", self.append(b"x", "?ttl=x&partition=9&delay=y&foo=1&key"))
        self.assertEqual(set(found), {"ttl", "partition", "delay", "foo", "key"})
        self.assertEqual(self.texts(), [])

    def test_no_options(self) -> None:
        """A question mark alone asks for nothing."""
        self.assertEqual(self.append(b"x", "?").status, 201)


class BodyTests(MessagesTestCase):
    """How large a body may be."""

    def use(self, settings: str) -> None:
        self.assembly = self.make_assembly(SETTINGS + settings)
        self.client = Client(self.assembly.site)

    def test_limit(self) -> None:
        """That of the application, to the byte."""
        self.use("[application:app]\nmax_body = 10\n")
        self.expect(201, self.append(b"x" * 10))
        problem = self.problem("too-large", self.append(b"x" * 11))
        self.assertEqual((problem["limit"], problem["applied"]), ("max_body", "no"))
        self.assertEqual(self.texts(), ["x" * 10])

    def test_limit_of_the_server(self) -> None:
        """It is met before the body is read."""
        self.expect(201, self.append(b"\xff" * (1 << 20)))
        fields = {**OWNER, "Content-Length": str((1 << 20) + 1)}
        response = self.client.start("POST", "/v2/app/queues/q/messages", fields).response("POST")
        self.assertEqual(self.problem("too-large", response)["limit"], "max_body")


class RoomTests(MessagesTestCase):
    """How much an application may keep, where the store counts that."""

    def test_storage(self) -> None:
        """What the application may keep."""
        self.client = Client(self.make_assembly(SETTINGS + "[application:app]\nmax_bytes = 1KiB\n").site)
        self.expect(201, self.append(b"x" * 900, content_type="a/b"))
        problem = self.problem("storage-full", self.append(b"x" * 200))
        self.assertEqual((problem["limit"], problem["applied"], problem["retryable"]), ("max_bytes", "no", True))


class WhoTests(MessagesTestCase):
    """Who may append, and where."""

    def test_caller(self) -> None:
        """The application alone, whatever the principals are."""
        self.make("shared", principals=["app:other"], type="public")
        for queue in ("q", "shared"):
            self.problem("forbidden", self.send("POST", self.path(queue=queue), b"x", OTHER, None))
            response = self.send("POST", self.path(queue=queue), b"x", {}, None)
            self.problem("unauthorized", response)
            self.assertEqual(response.header("www-authenticate"), "Application")
        self.problem("no-such-queue", self.send("POST", self.path(queue="nope"), b"x", OWNER, None))
        self.problem("no-such-application", self.ask("POST", "/v2/nope/queues/q/messages", OWNER, b"x"))
        self.assertEqual(self.texts(), [])

    def test_methods(self) -> None:
        """405 names those that there are; a slash at the end makes another path."""
        for path, methods in (
            (self.path(), "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
            (self.path("/x"), "DELETE, GET, HEAD, OPTIONS, PUT"),
        ):
            for wrong in ("PATCH", "post", *({"POST"} - set(methods.split(", ")))):
                response = self.send(wrong, path, b"x")
                self.assertEqual(response.header("allow"), methods)
                self.problem("method-not-allowed", response)
        for method, path in (("POST", "/"), ("GET", "/"), ("DELETE", "/?before=now"), ("GET", "/x/")):
            self.problem("nothing-here", self.send(method, self.path(path)))

    def test_on_write(self) -> None:
        """Where messages make their queues, any form of them does, and what is refused makes none."""
        self.assembly = self.make_assembly(SETTINGS + "[application:app]\ncreate_queues = on-write\n")
        self.client = Client(self.assembly.site)
        key = {**OWNER, "Idempotency-Key": '"1"'}
        for name, body, fields, kind in (
            ("one", b"x", OWNER, None),
            ("batch", {"messages": [{"body": "x"}]}, OWNER, BATCH),
            ("key", b"x", key, None),
        ):
            path = self.path(queue=name)
            self.problem("invalid-parameters", self.send("POST", f"{path}?ttl=0", body, fields, kind))
            self.problem("no-such-queue", self.send("GET", f"/queues/{name}"))
            first = self.expect(201, self.send("POST", path, body, fields, kind))
            self.assertFalse(first["duplicate"])
            self.assertEqual(self.texts(queue=name), ["x"])
        again = self.expect(201, self.send("POST", self.path(queue="key"), b"x", key, None))
        self.assertEqual(again, {**first, "duplicate": True})
        for method, path in (("GET", "/queues/new/messages"), ("DELETE", "/queues/new/messages?before=now")):
            self.problem("no-such-queue", self.send(method, path))

    def test_deleted_meanwhile(self) -> None:
        """A message for a queue that is gone is not stored."""
        self.append()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.problem("no-such-queue", self.append())
        self.make("q")
        self.assertEqual(self.texts(), [])

    def test_pipelined(self) -> None:
        """One after another on one connection, in order."""
        connection = self.client.start("GET", "/v2/app", OWNER)
        for number in range(5):
            connection.send(encode_request("POST", "/v2/app/queues/q/messages", OWNER, b"%d" % number))
        self.assertEqual([each.status for each in connection.responses()], [200, *[201] * 5])
        self.assertEqual(self.texts(), list("01234"))
