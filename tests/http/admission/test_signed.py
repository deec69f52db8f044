"""Signed URLs through both APIs: what they allow, until when, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from queuey.config import ApplicationSettings
from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.signing import Grant, sign
from tests.auth.test_browserid import ASSERTION
from tests.http.admission.test_identities import LINE, USER, IdentitiesTestCase
from tests.http.api_support import KEY, NOW, OTHER, OWNER, SPARE_KEY
from tests.http.responses import Response
from tests.http.wire_support import Connection, encode_request


class SignedTests(IdentitiesTestCase):
    def signed(
        self,
        words: str = "read",
        key: str = KEY,
        queue: str = "q",
        until: int | None = None,
        rate: str = "",
        /,
        **more: str,
    ) -> str:
        """The query of a URL that is signed."""
        grant = Grant("app", queue, words, str(int(NOW) + 60 if until is None else until), rate)
        digest = digest_of(key)
        given: dict[str, Any] = {
            "signed_by": key_id(digest),
            "signed_for": words,
            "signed_until": grant.until,
            **({"signed_rate": rate} if rate else {}),
            "signature": sign(digest, grant),
            **more,
        }
        return urlencode({name: value for name, value in given.items() if value is not None})

    def get(self, query: str, path: str = "/v2/app/queues/q/messages", method: str = "GET", **how: Any) -> Response:
        return self.ask(method, f"{path}?{query}", how.pop("headers", {}), how.pop("body", None))

    def test_read(self) -> None:
        """With the request's own parameters beside it, before it, or behind it."""
        self.appended("x")
        self.appended("y")
        for key in (KEY, SPARE_KEY):
            url = self.signed("read", key)
            for query in (url, f"limit=1&{url}", f"{url}&limit=1", url.replace("&", "&limit=1&", 1)):
                page = self.expect(200, self.get(query))
                self.assertEqual(len(page["messages"]), 1 if "limit" in query else 2)
            self.assertEqual(self.expect(200, self.get(f"{url}&limit=1", "/v1/app/q"))["messages"][0]["body"], "x")

    def test_parameters_are_as_strict_as_ever(self) -> None:
        self.errors("invalid-parameters", self.get(self.signed() + "&colour=red"))
        self.problem("invalid-parameters", self.get(self.signed() + "&"))
        self.errors("invalid-parameters", self.get(self.signed() + "&limit="))

    def test_the_next_page(self) -> None:
        """Is where the link says, without another word."""
        for text in "abc":
            self.appended(text)
        response = self.get(f"limit=2&{self.signed()}")
        link = response.header("link") or ""
        following = self.ask("GET", link.partition("<")[2].partition(">")[0], {})
        self.assertEqual([message["body"] for message in self.expect(200, following)["messages"]], ["c"])

    def test_each_operation(self) -> None:
        """What a URL was signed for, and nothing else."""
        messages = "/v2/app/queues/q/messages"
        tries = {"write": ("POST", "", 201), "read": ("GET", "", 200), "delete": ("DELETE", "/{id}", 204)}
        for word, (method, below, expected) in tries.items():
            for signed in ("write", "read", "delete", "delete,read,write"):
                path = messages + below.format(id=self.appended("x"))
                connection = self.client.start(
                    method, f"{path}?{self.signed(signed)}", {}, b"x" if below == "" else None
                )
                response = connection.response(method, only_json=False)
                self.assertEqual(response.status, expected if word in signed.split(",") else 403, (word, signed))
        every = self.signed("claim,delete,read,write")
        for method, path in (("GET", "/v2/app/queues/q"), ("DELETE", "/v2/app/queues/q"),
                             ("GET", "/v2/app/queues/q/groups"), ("PUT", "/v2/app/queues/q/groups/g"),
                             ("DELETE", "/v1/app/q"), ("PUT", "/v1/app/q")):  # fmt: skip
            self.assertEqual(self.get(every, path, method).status, 403, path)
        self.assertEqual(self.get(every, "/v2/app/queues/q", "PUT").status, 401)

    def test_claims(self) -> None:
        """Of groups that exist."""
        self.appended("x")
        groups = "/v2/app/queues/q/groups/g"
        typed = {"Content-Type": "application/json"}
        url = self.signed("claim")
        self.assertEqual(self.get(url, f"{groups}/claims", "POST", headers=typed, body=b"{}").status, 404)
        self.expect(201, self.send("PUT", "/queues/q/groups/g", {}))
        claimed = self.expect(200, self.get(url, f"{groups}/claims", "POST", headers=typed, body=b"{}"))["messages"]
        body = b'{"ack": ["%b"]}' % claimed[0]["receipt"].encode()
        self.expect(200, self.get(url, f"{groups}/settlements", "POST", headers=typed, body=body))
        self.assertEqual(
            self.get(self.signed("read"), f"{groups}/claims", "POST", headers=typed, body=b"{}").status, 403
        )

    def test_another_place(self) -> None:
        """Another queue, application, or a path without a queue."""
        self.make("p")
        url = self.signed("delete,read,write")
        self.problem("unauthorized", self.get(url, "/v2/app/queues/p/messages"))
        self.problem("unauthorized", self.get(url, "/v2/app/queues"))
        self.problem("unauthorized", self.get(url, "/v2/app"))
        self.assertEqual(self.get(url, "/v1/app").status, 401)
        self.assertEqual(self.get(url, "/v1/app/p").status, 401)
        # This application takes none: to it they are unknown parameters.
        self.ask("PUT", "/v2/other/queues/q", OTHER)
        self.problem("unauthorized", self.get(url, "/v2/other/queues/q/messages"))
        self.errors("invalid-parameters", self.get(url, "/v2/other/queues/q/messages", headers=OTHER))

    def test_names_of_queues(self) -> None:
        """As they are, and not as they are encoded."""
        for name in ("a b", "\u00e9\u4f60", "a%2Fb", "q?x=1&signature=2", "a+b"):
            path = quote(name, safe="")
            self.expect(201, self.send("PUT", f"/queues/{path}"))
            self.expect(200, self.get(self.signed("read", KEY, name), f"/v2/app/queues/{path}/messages"))

    def test_changed(self) -> None:
        """Whatever of it is changed, left out, or there twice."""
        good = self.signed("read", KEY, "q", None, "5")
        self.expect(200, self.get(good))
        for name, value in (("signed_for", "write"), ("signed_until", "9999999999"), ("signed_rate", "6"),
                            ("signed_by", key_id(digest_of(SPARE_KEY))), ("signature", "0" * 64)):  # fmt: skip
            changed = self.signed("read", KEY, "q", None, "5", **{name: value})
            self.problem("unauthorized", self.get(changed))
            self.problem("unauthorized", self.get(f"{good}&{name}={value}"))
            again = next(part for part in good.split("&") if part.startswith(name))
            self.problem("unauthorized", self.get(f"{good}&{again}"))
            if name != "signature":
                without = "&".join(part for part in good.split("&") if not part.startswith(name))
                self.problem("unauthorized", self.get(without))

    def test_without_a_signature(self) -> None:
        """The other parameters are none of anybody's."""
        rest = self.signed().partition("&signature")[0]
        self.problem("unauthorized", self.get(rest))
        self.errors("invalid-parameters", self.get(rest, headers=OWNER))

    def test_expired(self) -> None:
        self.clock.advance(60)
        problem = self.problem("unauthorized", self.get(self.signed()))
        self.assertEqual(problem["detail"], "The signature of the URL has expired.")

    def test_rate(self) -> None:
        url = self.signed("read", KEY, "q", None, "2")
        for path in ("/v2/app/queues/q/messages", "/v1/app/q"):
            self.expect(200, self.get(url, path))
        response = self.get(url)
        problem = self.problem("too-many-requests", response)
        self.assertEqual((problem["limit"], response.header("retry-after")), ("signed_rate", "1"))
        v1 = self.get(url, "/v1/app/q")
        self.assertEqual((set(self.refused(429, v1)), v1.header("retry-after")), ({"TooManyRequests"}, "1"))
        self.expect(200, self.get(self.signed()))
        self.clock.advance(0.5)
        self.expect(200, self.get(url))

    def test_no_more_than_the_key(self) -> None:
        """A URL that was signed by the application's key does not open a queue that belongs to other principals."""
        self.allow("bid:ann@example.org")
        self.assertEqual(self.get(self.signed()).status, 403)
        both = self.get(
            self.signed("write"), method="POST", headers={"Authorization": f"BrowserID {ASSERTION}"}, body=b"x"
        )
        self.assertEqual(both.status, 201)

    def test_makes_no_queues(self) -> None:
        """Though messages that come with the key do."""
        url = self.signed("write", KEY, "new")
        self.problem("no-such-queue", self.get(url, "/v2/app/queues/new/messages", "POST", body=b"x"))
        self.assertEqual(self.get(url, "/v1/app/new", "POST", body=b"x").status, 404)

    def test_idempotency_keys_are_its_own(self) -> None:
        """Who has a URL meets no keys of the application, nor of another URL; a repeat under the same URL is one."""
        named = {"Idempotency-Key": '"a"'}
        first = self.get(self.signed("write"), method="POST", headers=named, body=b"x")
        again = self.get(self.signed("write"), method="POST", headers=named, body=b"x")
        self.assertEqual(self.expect(201, first)["messages"], self.expect(201, again)["messages"])
        self.assertTrue(again.json["duplicate"])
        other = self.get(self.signed("write", SPARE_KEY), method="POST", headers=named, body=b"y")
        own = self.send("POST", "/queues/q/messages", b"z", {**OWNER, **named}, None)
        self.assertEqual((other.status, own.status, len(self.texts())), (201, 201, 3))

    def test_idempotency_keys_with_other_credentials(self) -> None:
        """A repeat that shows a token or a signed URL beside the application's key is a repeat."""
        named, own = {"Idempotency-Key": '"a"'}, OWNER["Authorization"]
        first = self.send("POST", "/queues/q/messages", b"x", {**OWNER, **named}, None)
        for shown in (f"{own}; {USER['Authorization']}", f"{USER['Authorization']}; {own}"):
            again = self.send("POST", "/queues/q/messages", b"x", {"Authorization": shown, **named}, None)
            self.assertEqual(self.expect(201, first)["messages"], self.expect(201, again)["messages"])
            self.assertTrue(again.json["duplicate"])
        again = self.get(self.signed("write"), method="POST", headers={**OWNER, **named}, body=b"x")
        self.assertTrue(self.expect(201, again)["duplicate"])
        self.assertEqual(self.texts(), ["x"])

    def begin(self, url: str) -> Connection:
        """Begin a stream, of which one line is sent."""
        fields = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        request = encode_request("POST", f"/v2/app/queues/q/messages?{url}", fields)
        return Connection(self.assembly.site).send(request).send(LINE)

    def told(self, connection: Connection) -> list[Any]:
        """The code of each line that was not stored, and how many were."""
        response = connection.response("POST", only_json=False)
        lines = [json.loads(line) for line in response.body.splitlines()]
        return [*(line["code"] for line in lines if "code" in line), lines[-1]["stored"]]

    def put_in_force(self, change: Callable[[ApplicationSettings], ApplicationSettings]) -> None:
        settings = self.assembly.in_force.settings
        self.assembly.use(attrs.evolve(settings, applications=tuple(map(change, settings.applications))))

    def revoke(self, key: str) -> None:
        self.put_in_force(lambda one: attrs.evolve(one, digests=one.digests - {digest_of(key)}))

    def test_streams_end_with_it(self) -> None:
        """When it expires, its key is revoked, or URLs are taken no more."""
        expires = self.begin(self.signed("write", SPARE_KEY, "q", int(NOW) + 30))
        revoked, refused = self.begin(self.signed("write")), self.begin(self.signed("write", SPARE_KEY))
        self.clock.advance(29)
        for connection in (expires, revoked, refused):
            connection.send(LINE)
        self.clock.advance(1)
        self.assertEqual(self.told(expires.send(LINE)), ["unauthorized", 2])
        self.revoke(KEY)
        self.assertEqual(self.told(revoked.send(LINE)), ["unauthorized", 2])
        self.put_in_force(lambda one: attrs.evolve(one, policy=attrs.evolve(one.policy, signed_urls=False)))
        self.assertEqual(self.told(refused.send(LINE)), ["unauthorized", 2])

    def test_a_stream_is_one_use(self) -> None:
        stream = self.begin(self.signed("write", KEY, "q", None, "1"))
        for _ in range(9):
            stream.send(LINE)
        self.assertEqual(self.told(stream.send(b"0\r\n\r\n")), [10])

    def test_waits_are_given_nothing_after_it(self) -> None:
        """Nor are those of a key, or of a user, who are let in no more."""
        self.expect(201, self.send("PUT", "/queues/q/groups/g", {}))
        read, groups = "/v2/app/queues/q/messages?wait=20", "/v2/app/queues/q/groups/g/claims"
        typed, body = {"Content-Type": "application/json"}, b'{"wait": 20}'
        waiting = [
            ("GET", self.client.start("GET", f"{read}&{self.signed('read')}", {})),
            ("GET", self.client.start("GET", read, OWNER)),
            ("POST", self.client.start("POST", f"{groups}?{self.signed('claim')}", typed, body)),
            ("POST", self.client.start("POST", groups, {**OWNER, **typed}, body)),
        ]
        self.revoke(KEY)
        spare = {"Authorization": f"Application {SPARE_KEY}"}
        self.expect(201, self.send("POST", "/queues/q/messages", b"secret", spare, None))
        self.clock.pump([0.1] * 5)
        for method, connection in waiting[:3]:
            self.problem("unauthorized", connection.response(method))
        self.clock.pump([1] * 21)
        self.problem("unauthorized", waiting[3][1].response("POST"))

    def test_escaped_names(self) -> None:
        """A name may be percent-encoded, as every other."""
        self.expect(200, self.get(self.signed().replace("signature", "s%69gnature")))

    def test_what_is_no_text(self) -> None:
        for value in ("%ff", "%00", "%", "%zz", "%0A", "%F0%9F%98%80"):
            url = self.signed().partition("&signature=")[0]
            self.problem("unauthorized", self.get(f"{url}&signature={value}"))
            self.problem("unauthorized", self.get(self.signed().replace("signed_for=read", f"signed_for={value}")))
