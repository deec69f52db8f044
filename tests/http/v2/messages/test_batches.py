"""Batches over v2: many messages in one body, all stored or none, and all that is wrong with them said at once."""

from __future__ import annotations

import json
from typing import Any

from tests.http.api_support import BATCH, OWNER, SETTINGS, MessagesTestCase
from tests.http.wire_support import Client

MEMBERS = "body, body_base64, content_type, ttl, partition, key, delay, headers"
BAD_NAME = 'has a name that begins with "queuey-" in upper or lower case; such names are reserved for Queuey'
BAD_TYPE = "is not a media type of at most 1024 ASCII characters"
BAD_BASE64 = "is not text in base64 (RFC 4648, section 4), padded and without line ends"
NO_BODY = "has neither body nor body_base64"
BAD_TTL = "is not a whole number from 1 to 33554432"
BAD_PARTITION = "is not a whole number from 1 to 3"
BAD_DELAY = "is not a number of seconds from 0 to 2592000"
BAD_HEADERS = "cannot be stored: it has half of a surrogate pair, a number beyond 1.8e308, or is nested too deeply"


class BatchTests(MessagesTestCase):
    """POST …/messages of application/vnd.queuey.messages+json."""

    partitions = 3

    def test_answer(self) -> None:
        """Where each is, in the order sent, as for one message; a batch has no Location, unless it is of one."""
        response = self.batch([{"body": str(number), "partition": number % 3 + 1} for number in range(7)])
        answer = self.expect(201, response)
        messages = answer.pop("messages")
        durable = self.store.capabilities.survives_power_loss
        self.assertEqual(answer, {"stored": {"consistency": "strong", "durable": durable}, "duplicate": False})
        self.assertIsNone(response.header("location"))
        self.assertEqual([message["partition"] for message in messages], [number % 3 + 1 for number in range(7)])
        page = self.page()["messages"]
        self.assertEqual(messages, [{name: each[name] for name in ("id", "partition", "timestamp")} for each in page])
        self.assertEqual([message["body"] for message in page], list("0123456"))
        response = self.batch([{"body": "x"}])
        (message,) = self.expect(201, response)["messages"]
        self.assertEqual(response.header("location"), f"/v2/app/queues/q/messages/{message['id']}")

    def test_members(self) -> None:
        """Each means what it means for one message."""
        batch = [
            {"body": "text"},
            {"body_base64": "AAEC/w=="},
            {"body": "", "content_type": "application/json", "headers": {"é": [1, None]}, "ttl": 60, "partition": 3},
            {"body_base64": "", "content_type": "text/html", "headers": {}, "key": "7"},
            {"body": "\N{PILE OF POO}\0", "ttl": 5.0, "partition": 2.0, "delay": 0.0},
            {"body": "later", "delay": 1.5, "ttl": 1},
        ]
        stored = self.expect(201, self.batch(batch))["messages"]
        self.assertEqual((stored[2]["partition"], stored[4]["partition"]), (3, 2))
        self.assertEqual(stored[5]["timestamp"][:21], "2023-11-14T22:13:21.5")
        found = {message["id"]: message for message in self.page()["messages"]}
        self.assertNotIn(stored[5]["id"], found)
        shown = [found[message["id"]] for message in stored[:5]]
        self.assertEqual(
            [(each["content_type"], each["headers"], each.get("body"), each.get("body_base64")) for each in shown],
            [
                ("text/plain;charset=utf-8", {}, "text", None),
                ("application/octet-stream", {}, None, "AAEC/w=="),
                ("application/json", {"é": [1, None]}, "", None),
                ("text/html", {"queuey-key": "7"}, "", None),
                ("text/plain;charset=utf-8", {}, "\N{PILE OF POO}\0", None),
            ],
        )
        self.assertEqual(
            [each["expires"][:19] for each in shown[2:5:2]], ["2023-11-14T22:14:20", "2023-11-14T22:13:25"]
        )

    def test_how_many(self) -> None:
        """1 to 1000."""
        self.assertEqual(len(self.expect(201, self.batch([{"body": "x"}] * 1000))["messages"]), 1000)
        for count in (0, 1001):
            errors = self.errors("invalid-body", self.batch([{"body": "y"}] * count))
            self.assertEqual(errors, {"/messages": f"has {count} messages, and not 1 to 1000"})
        self.assertEqual(self.texts("limit=1000"), ["x"] * 1000)
        self.assertEqual(self.page("limit=1000")["more"], False)

    def test_all_or_none(self) -> None:
        """One that is wrong, and nothing is stored; everything that is wrong is named by its place."""
        batch: list[Any] = [
            {"body": "fine"},
            {},
            {"body": "x", "body_base64": "eA=="},
            {"body": None},
            {"body_base64": "eA="},
            {"body_base64": "eA==\n"},
            {"body_base64": "_-8="},
            {"body": "x", "colour": "red", "a/b~c": 1, "": 1},
            {"body": "x", "ttl": 0, "partition": 4, "delay": -1},
            {"body": "x", "ttl": None, "partition": None, "delay": None, "key": None, "headers": None},
            {"body": "x", "content_type": "text"},
            {"body": "x", "content_type": "text/plain\r\nX-Evil: y"},
            {"body": "x", "key": ""},
            {"body": "x", "key": "a", "partition": 1},
            {"body": "x", "headers": []},
            {"body": "x", "headers": {"a": "x" * 8185}},
            {"body": "x", "idempotency_key": "k"},
            "x",
            None,
            {"body": "x", "headers": {"Queuey-dead-letter": {}}},
        ]
        text = json.dumps({"messages": batch}).replace("Infinity", "1e400").encode()
        response = self.batch(text)
        places = {
            "1": NO_BODY,
            "2/body_base64": "cannot be given together with body",
            "3/body": "is not text",
            "4/body_base64": BAD_BASE64,
            "5/body_base64": BAD_BASE64,
            "6/body_base64": BAD_BASE64,
            "7/colour": f"is not known; known here: {MEMBERS}",
            "7/a~1b~0c": f"is not known; known here: {MEMBERS}",
            "7/": f"is not known; known here: {MEMBERS}",
            "8/ttl": BAD_TTL,
            "8/partition": BAD_PARTITION,
            "8/delay": BAD_DELAY,
            "9/ttl": BAD_TTL,
            "9/partition": BAD_PARTITION,
            "9/delay": BAD_DELAY,
            "9/key": "cannot be given together with a partition",
            "9/headers": "is not an object",
            "10/content_type": BAD_TYPE,
            "11/content_type": BAD_TYPE,
            "12/key": "is empty",
            "13/key": "cannot be given together with a partition",
            "14/headers": "is not an object",
            "15/headers": "has 8193 bytes as compact JSON; at most 8192 are allowed",
            "16/idempotency_key": "is only for streams; a batch has one Idempotency-Key, in the header",
            "17": "is not an object",
            "18": "is not an object",
            "19/headers": BAD_NAME,
        }
        self.assertEqual(
            self.errors("invalid-body", response), {f"/messages/{place}": text for place, text in places.items()}
        )
        problem = self.problem("invalid-body", response)
        self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
        self.assertEqual(problem["detail"], f"/messages/1 {NO_BODY} (and {len(places) - 1} more).")
        self.assertEqual(self.texts(), [])

    def test_not_that_shape(self) -> None:
        """Whatever JSON it is, it is refused at its place."""
        for body, pointer, detail in (
            (b"", "", "The body is not JSON."),
            (b"nonsense", "", "The body is not JSON."),
            (b'{"messages": [{"body": "x"}]', "", "The body is not JSON."),
            (b'{"messages": [{"body": "x"}]} x', "", "The body is not JSON."),
            (b'{"messages": [{"body": "x", "ttl": NaN}]}', "", "The body is not JSON."),
            (b'{"messages": [{"body": "x", "ttl": -Infinity}]}', "", "The body is not JSON."),
            (b'{"messages": [{"body": "\xff"}]}', "", "The body is not UTF-8 text."),
            ('{"messages": [{"body": "x"}]}'.encode("utf-16"), "", "The body is not UTF-8 text."),
            (b'\xef\xbb\xbf{"messages": [{"body": "x"}]}', "", "The body is not JSON."),
            (b'{"messages": [{"body": "\\ud800"}]}', "", "The JSON has a text with half of a surrogate pair."),
            (b'{"messages": [{"body": "a\nb"}]}', "", "The body is not JSON."),
            (b'{"messages": [{"body": "x", "body": "y"}]}', "", 'The JSON has the name "body" twice in one object.'),
            (b'{"messages": [], "messages": []}', "", 'The JSON has the name "messages" twice in one object.'),
            (b"[" * 50_000, "", "The body is not JSON."),
            (b'{"a":' * 50_000, "", "The body is not JSON."),
            (b"[" * 100_000, "", "The JSON has more than 50000 values."),
            (b'{"a":' * 100_000, "", "The JSON has more than 50000 values."),
            (b'{"messages": [{"body": "x", "ttl": ' + b"9" * 5000 + b"}]}", "", "The body is not JSON."),
        ):
            response = self.batch(body)
            found = self.errors("invalid-body", response)
            self.assertEqual((list(found), response.json["detail"]), ([pointer], detail), repr(body[:40]))
        names = ",".join(f'"{number}": 1' for number in range(70_000))
        self.errors("invalid-body", self.batch(f'{{"messages": [{{{names}, "69999": 1}}]}}'.encode()))
        # How deep is too deep for JSON depends on the version of Python.
        self.errors("invalid-body", self.batch(b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"))
        for document, errors in (
            ([{"body": "x"}], {"": 'is not {"messages": [...]}'}),
            ("x", {"": 'is not {"messages": [...]}'}),
            (None, {"": 'is not {"messages": [...]}'}),
            ({}, {"/messages": "is not a list of messages"}),
            ({"messages": None}, {"/messages": "is not a list of messages"}),
            ({"messages": {"body": "x"}}, {"/messages": "is not a list of messages"}),
            ({"messages": [{"body": "x"}], "ttl": 5}, {"/ttl": "is not known; known here: messages"}),
            ({"body": "x"}, {"/body": "is not known; known here: messages"}),
        ):
            self.assertEqual(self.errors("invalid-body", self.batch(json.dumps(document).encode())), errors)
        self.assertEqual(self.texts(), [])

    def test_surrogates(self) -> None:
        """A pair is one character; half of one is none, wherever it stands."""
        self.expect(201, self.batch(b'{"messages": [{"body": "\\ud83d\\udca9"}]}'))
        for text in (b'{"body": "\\udca9\\ud83d"}', b'{"body": "x", "key": "\\ud800"}',
                     b'{"body": "x", "headers": {"\\ud800": 1}}', b'{"body": "x", "\\ud800": 1}',
                     b'{"body": "x", "content_type": "\\ud800"}'):  # fmt: skip
            self.errors("invalid-body", self.batch(b'{"messages": [' + text + b"]}"))
        self.assertEqual(self.texts(), ["\N{PILE OF POO}"])

    def test_deep(self) -> None:
        """What is too deep to be read is refused; so is what only just can be, or it can be read again."""
        stored = 0
        for depth in range(50, 3000, 50):
            nest = '{"a":' * depth + '"é"' + "}" * depth
            text = f'{{"messages": [{{"body": "x", "headers": {nest}}}]}}'.encode()
            response = self.batch(text)
            stored += response.status == 201
            if response.status != 201:
                self.errors("invalid-body", response)
        self.assertGreater(stored, 0)
        self.assertEqual(self.raw("GET", self.path("?limit=1000")).body.count(b'{"a":"\\u00e9"}'), stored)

    def test_numbers(self) -> None:
        """A number that cannot be kept is refused."""
        errors = self.errors("invalid-body", self.batch(b'{"messages": [{"body": "x", "headers": {"a": 1e400}}]}'))
        self.assertEqual(errors, {"/messages/0/headers": BAD_HEADERS})

    def test_types(self) -> None:
        """However it is spelled; only in UTF-8."""
        body = json.dumps({"messages": [{"body": "x"}]}).encode()
        for kind in (BATCH.upper(), f"{BATCH}; charset=utf-8", f'{BATCH} ;Charset="UTF-8"', f"{BATCH};"):
            self.assertEqual(self.append(body, content_type=kind).status, 201, kind)
        for kind in (f"{BATCH};charset=latin-1", f"{BATCH};charset=utf-16"):
            response = self.append(body, content_type=kind)
            self.assertEqual(self.problem("unsupported-media-type", response)["applied"], "no")
            self.assertEqual(response.header("accept"), BATCH)
        self.assertEqual(self.texts(), ["x"] * 4)

    def test_options(self) -> None:
        """Each message has its own; the query and the head have none."""
        for query, name in (("?ttl=5", "ttl"), ("?partition=1", "partition"), ("?x=1", "x"), ("?delay=", "delay")):
            errors = self.errors("invalid-parameters", self.batch([{"body": "x"}], query))
            self.assertEqual(list(errors), [name])
        errors = self.errors("invalid-parameters", self.batch([{"body": "x"}], Queuey_Headers="{}"))
        self.assertEqual(
            errors, {"Queuey-Headers": "is only for one message; messages of a batch have a member headers"}
        )
        self.problem("content-encoding", self.batch([{"body": "x"}], Content_Encoding="gzip"))
        self.assertEqual(self.texts(), [])

    def test_limit(self) -> None:
        """That of a body holds for all of it, and for the application's room too."""
        assembly = self.make_assembly(SETTINGS + "[application:app]\nmax_body = 1KiB\n")
        self.client = Client(assembly.site)
        self.expect(201, self.batch([{"body": "x" * 900}]))
        problem = self.problem("too-large", self.batch([{"body": "x" * 500}] * 2))
        self.assertEqual((problem["limit"], problem["applied"]), ("max_body", "no"))
        self.assertEqual(len(self.texts()), 1)

    def test_order(self) -> None:
        """Messages of a batch take their places in the order sent, whatever their partitions."""
        for _ in range(3):
            stored = self.expect(201, self.batch([{"body": str(number)} for number in range(50)]))["messages"]
            ids = [message["id"] for message in stored]
            self.assertEqual(ids, sorted(ids))
        self.assertEqual(self.texts("limit=1000"), [str(number) for number in range(50)] * 3)

    def test_many_bytes(self) -> None:
        """As many as a body may have, in one message or in many."""
        room = (1 << 20) - len(json.dumps({"messages": [{"body": ""}]}))
        self.expect(201, self.batch([{"body": "x" * room}]))
        self.assertEqual(
            self.send("POST", self.path(), {"messages": [{"body": "x" * (room + 1)}]}, OWNER, BATCH).status, 413
        )
        self.expect(201, self.batch([{"body": "x" * 1000}] * 900))
        self.assertEqual([len(text) for text in self.texts("max_bytes=16777216&limit=1000")], [room] + [1000] * 900)
