"""Queues over v1: making, changing, listing, ending them."""

from __future__ import annotations

from urllib.parse import quote

from queuey.model.queues.queue import MAX_PRINCIPALS
from tests.http.api_support import NOW, OTHER, OWNER, ApiTestCase

DEFAULTS = {"partitions": 1, "type": "user", "consistency": "strong"}


class CreateTests(ApiTestCase):
    """POST /v1/{app}."""

    def test_defaults(self) -> None:
        """Only a name is needed, and an absence of principals is null."""
        answer = self.expect(201, self.form("POST", "/v1/app", queue_name="q"))
        self.assertEqual(answer, {"status": "ok", "queue_name": "q", "principles": None, **DEFAULTS})

    def test_made_up_name(self) -> None:
        """Without a name, or with an empty one, there is a new one each time."""
        names = {
            self.expect(201, self.form("POST", "/v1/app", **fields))["queue_name"]
            for fields in ({}, {}, {"queue_name": ""})
        }
        self.assertEqual(len(names), 3)
        for name in names:
            self.assertRegex(name, "^[0-9a-f]{32}$")

    def test_no_body_no_type(self) -> None:
        """A request without anything makes a queue, as the first version's clients have it."""
        self.assertEqual(self.ask("POST", "/v1/app").status, 201)

    def test_everything_given(self) -> None:
        """Principals come back as they were given, each once."""
        answer = self.expect(
            201,
            self.form("POST", "/v1/app", queue_name="q", partitions="200", type="public", consistency="very_strong",
                      principles="bid:first.last+tag@mail-1.example.co.uk, app:other,, app:other"),
        )  # fmt: skip
        self.assertEqual(
            answer,
            {"status": "ok", "queue_name": "q", "partitions": 200, "type": "public", "consistency": "very_strong",
             "principles": "bid:first.last+tag@mail-1.example.co.uk,app:other"},
        )  # fmt: skip

    def test_multipart(self) -> None:
        """The other kind of form; the last of a repeated field wins."""
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % field
            for field in ((b"queue_name", b"x"), (b"queue_name", b"q"), (b"partitions", b"3"))
        )
        headers = {**OWNER, "Content-Type": "multipart/form-data; boundary=b"}
        answer = self.expect(201, self.ask("POST", "/v1/app", headers, body + b"--b--\r\n"))
        self.assertEqual((answer["queue_name"], answer["partitions"]), ("q", 3))

    def test_again(self) -> None:
        """The same once more is the same answer; messages stay."""
        queue = self.make_queue(partitions="2", type="public")
        self.posted(queue, "kept", partition="1")
        answer = self.expect(201, self.form("POST", "/v1/app", queue_name="q", partitions="2", type="public"))
        self.assertEqual(answer["partitions"], 2)
        self.assertEqual(self.bodies(queue), ["kept"])

    def test_again_with_others(self) -> None:
        """It changes what is given and keeps what is omitted."""
        queue = self.make_queue(partitions="2", principles="app:app")
        self.posted(queue, "kept", partition="1")
        answer = self.expect(201, self.form("POST", "/v1/app", queue_name="q", type="public"))
        self.assertEqual(
            answer,
            {"status": "ok", "queue_name": "q", "partitions": 2, "type": "public", "consistency": "strong",
             "principles": "app:app"},
        )  # fmt: skip
        self.assertEqual(self.bodies(queue), ["kept"])

    def test_again_with_fewer_partitions(self) -> None:
        """Partitions may not shrink, and nothing else is changed then."""
        self.make_queue(partitions="2")
        errors = self.refused(400, self.form("POST", "/v1/app", queue_name="q", partitions="1", type="public"))
        self.assertEqual(errors, {"InvalidUpdate": "Partitions can only be increased."})
        self.assertEqual(self.expect(201, self.form("POST", "/v1/app", queue_name="q"))["type"], "user")

    def test_all_that_is_wrong(self) -> None:
        """Every invalid field is named at once."""
        errors = self.refused(
            400,
            self.form("POST", "/v1/app", queue_name="a/b", partitions="201", type="x", consistency="x",
                      principles="app:app,fred,app:"),
        )  # fmt: skip
        self.assertEqual(sorted(errors), ["consistency", "partitions", "principles", "queue_name", "type"])
        self.assertEqual(errors["partitions"], "201 is greater than maximum value 200")
        self.assertEqual(errors["type"], '"x" is not one of public, user')
        self.assertEqual(errors["consistency"], '"x" is not one of weak, strong, very_strong')
        self.assertEqual(
            errors["principles"], '"fred" is not a valid permission list. "app:" is not a valid permission list.'
        )
        self.assertEqual(self.expect(200, self.ask("GET", "/v1/app"))["queues"], [])

    def test_many_principles(self) -> None:
        """A queue has a bounded number of them, and none with a control character."""
        many = [f"bid:{number}@example.org" for number in range(MAX_PRINCIPALS + 1)]
        self.make_queue(principles=",".join([*many[1:], many[1]]))
        errors = self.refused(400, self.form("PUT", "/v1/app/q", principles=",".join(many)))
        text = f"A queue has at most {MAX_PRINCIPALS} principles, and these are {MAX_PRINCIPALS + 1}."
        self.assertEqual(errors, {"principles": text})
        errors = self.refused(400, self.form("PUT", "/v1/app/q", principles="bid:a\0@b.org"))
        self.assertEqual(list(errors), ["principles"])

    def test_names(self) -> None:
        """Any Unicode works from making to reading; what URLs and lists part is refused."""
        for name in ("a b", "Größe", "\N{PILE OF POO}" * 50, "%2F", "x?y#z&a=b", "..."):
            queue = f"/v1/app/{quote(name, safe='')}"
            answer = self.expect(201, self.form("POST", "/v1/app", queue_name=name))
            self.assertEqual(answer["queue_name"], name)
            self.posted(queue, name)
            self.assertEqual(self.bodies(queue), [name])
        for name in ("x" * 81, "\N{PILE OF POO}" * 51, "a/b", "a,b", "a:b", "a\nb", "\0", ".", ".."):
            self.assertEqual(list(self.refused(400, self.form("POST", "/v1/app", queue_name=name))), ["queue_name"])

    def test_not_a_form(self) -> None:
        """A body of another type is refused, not passed over."""
        headers = {**OWNER, "Content-Type": "application/json"}
        errors = self.refused(400, self.ask("POST", "/v1/app", headers, b'{"queue_name": "q"}'))
        self.assertEqual(list(errors), ["InvalidParameter"])
        self.assertIn("application/json", errors["InvalidParameter"])


class ChangeTests(ApiTestCase):
    """PUT /v1/{app}/{queue}."""

    def test_keeps_what_is_omitted(self) -> None:
        """And tells everything, principals as a list."""
        queue = self.make_queue(type="public", principles="app:app,bid:a@b.org", consistency="weak")
        answer = self.expect(200, self.form("PUT", queue, partitions="3"))
        self.assertEqual(
            answer,
            {"status": "ok", "queue_name": "q", "partitions": 3, "created": NOW, "type": "public",
             "principles": ["app:app", "bid:a@b.org"], "consistency": "weak"},
        )  # fmt: skip

    def test_clears_principals(self) -> None:
        """A comma alone clears them; an empty value counts as absent."""
        queue = self.make_queue(principles="app:other")
        self.assertEqual(self.expect(200, self.form("PUT", queue, principles=""))["principles"], ["app:other"])
        self.assertEqual(self.expect(200, self.form("PUT", queue, principles=","))["principles"], [])

    def test_fewer_partitions(self) -> None:
        """They can only be increased."""
        queue = self.make_queue(partitions="2")
        errors = self.refused(400, self.form("PUT", queue, partitions="1"))
        self.assertEqual(errors, {"InvalidUpdate": "Partitions can only be increased."})

    def test_nothing_half(self) -> None:
        """One invalid field, and none is changed."""
        queue = self.make_queue()
        self.assertEqual(list(self.refused(400, self.form("PUT", queue, partitions="2", type="x"))), ["type"])
        self.assertEqual(self.expect(200, self.form("PUT", queue))["partitions"], 1)


class ListTests(ApiTestCase):
    """GET /v1/{app}."""

    def names(self, query: str = "") -> list[str]:
        answer = self.expect(200, self.ask("GET", f"/v1/app{query}"))
        return [queue["queue_name"] for queue in answer["queues"]]

    def test_sorted_and_paged(self) -> None:
        """By code point, with an offset that is itself included."""
        for name in ("b", "a", "\N{PILE OF POO}", "\uffee", "B"):
            self.make_queue(name)
        ordered = ["B", "a", "b", "\uffee", "\N{PILE OF POO}"]
        self.assertEqual(self.names(), ordered)
        self.assertEqual(self.names("/?limit=2"), ordered[:2])
        self.assertEqual(self.names("?limit=2&offset=a"), ["a", "b"])
        self.assertEqual(self.names("?offset=aa"), ordered[2:])
        self.assertEqual(self.names(f"?offset={quote(ordered[-1])}"), ordered[-1:])
        self.assertEqual(self.names("?limit=99999999999999999999999"), ordered)
        self.assertEqual(self.names("?limit=&offset="), ordered)

    def test_all_of_many(self) -> None:
        """Without a limit there are all, in pieces that fit together; with one, as many as it says."""
        expected = sorted(f"q{number}" for number in range(2500))
        for name in expected:
            self.make_queue(name)
        self.assertEqual(self.names(), expected)
        self.assertEqual(self.names("?limit=2100"), expected[:2100])
        self.assertEqual(self.names("?limit=1000"), expected[:1000])
        answer = self.expect(200, self.ask("GET", "/v1/app?include_count=1"))
        self.assertEqual([(q["queue_name"], q["count"]) for q in answer["queues"]], [(n, 0) for n in expected])

    def test_details_and_counts(self) -> None:
        """Counts come with details; principals are absent where there are none."""
        queue = self.make_queue(partitions="2")
        self.make_queue("r", type="public", principles="app:app,app:other")
        for _ in range(3):
            self.posted(queue, "x")
        q = {"queue_name": "q", "application": "app", "created": NOW, **DEFAULTS, "partitions": 2}
        r = {"queue_name": "r", "application": "app", "created": NOW, **DEFAULTS, "type": "public",
             "principles": "app:app,app:other"}  # fmt: skip
        details = self.expect(200, self.ask("GET", "/v1/app?details=YES"))
        self.assertEqual(details, {"status": "ok", "queues": [q, r]})
        for query in ("include_count=true", "include_count=1&details=no", "include_count=on&details=1"):
            counts = self.expect(200, self.ask("GET", f"/v1/app?{query}"))
            self.assertEqual(counts["queues"], [{**q, "count": 3}, {**r, "count": 0}])
        plain = self.expect(200, self.ask("GET", "/v1/app?details=false&include_count=off"))
        self.assertEqual(plain["queues"], [{"queue_name": "q"}, {"queue_name": "r"}])

    def test_created_is_a_number_with_fraction(self) -> None:
        """Seconds since 1970 as a JSON number that keeps its fraction."""
        self.make_queue()
        body = self.ask("GET", "/v1/app?details=1").body
        self.assertIn(b'"created":1700000000.0,', body)

    def test_bad(self) -> None:
        """The words for what is wrong."""
        errors = self.refused(400, self.ask("GET", "/v1/app?limit=0&details=maybe&include_count=2"))
        self.assertEqual(
            errors,
            {
                "limit": "0 is less than minimum value 1",
                "details": '"maybe" is not a boolean',
                "include_count": '"2" is not a boolean',
            },
        )

    def test_of_each_application(self) -> None:
        """One application's queues are not another's."""
        self.make_queue()
        self.assertEqual(self.expect(200, self.ask("GET", "/v1/other", OTHER))["queues"], [])
        self.assertEqual(list(self.refused(404, self.ask("GET", "/v1/other/q", OTHER))), ["InvalidQueueName"])


class DeleteTests(ApiTestCase):
    """DELETE /v1/{app}/{queue}."""

    def test_gone_and_made_anew(self) -> None:
        """Nothing of the old one is seen in a new one of its name."""
        queue = self.make_queue(type="public", partitions="2")
        stored = self.posted(queue, "old", partition="1")
        self.assertEqual(self.expect(200, self.ask("DELETE", queue)), {"status": "ok"})
        for method, path in (("GET", queue), ("DELETE", queue), ("POST", queue), ("GET", f"{queue}/{stored['key']}")):
            errors = self.refused(404, self.ask(method, path))
            self.assertEqual(errors, {"InvalidQueueName": "Queue of that name was not found."})
        self.make_queue()
        self.assertEqual(self.bodies(queue), [])
        self.assertEqual(self.read(f"{queue}/{stored['key']}"), [])
        answer = self.expect(200, self.ask("GET", "/v1/app?include_count=1"))
        self.assertEqual([(q["count"], q["type"]) for q in answer["queues"]], [(0, "user")])

    def test_long_name(self) -> None:
        """A name over 80 characters is no queue's."""
        errors = self.refused(404, self.ask("GET", f"/v1/app/{'x' * 81}"))
        self.assertEqual(errors, {"InvalidQueueName": "Queue name longer than 80 characters."})
