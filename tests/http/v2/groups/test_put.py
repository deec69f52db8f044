"""Creating groups over v2, and changing them on conditions."""

from __future__ import annotations

from urllib.parse import quote

from queuey.model.groups.settings import MAX_GROUP_NAME, group_name_problem
from tests.http.api_support import OTHER, OWNER
from tests.http.group_support import PATCH, GroupTestCase
from tests.http.v2.groups.test_groups import CREATED, DEFAULTS, EVERYTHING


class PutTests(GroupTestCase):
    """PUT /v2/{app}/queues/{queue}/groups/{group}."""

    def test_new(self) -> None:
        """It has the defaults, a version that is its ETag, and an address."""
        response = self.put(None, "A~z.0_-")
        group = self.expect(201, response)
        self.assertEqual(list(group), ["name", *DEFAULTS, "created", "version"])
        self.assertEqual(group, {"name": "A~z.0_-", **DEFAULTS, "created": CREATED, "version": group["version"]})
        self.assertEqual(response.header("etag"), f'"{group["version"]}"')
        self.assertEqual(response.header("location"), "/v2/app/queues/q/groups/A~z.0_-")
        self.assertEqual(response.header("cache-control"), "no-store")

    def test_everything(self) -> None:
        """Each setting is kept, and shown as it was given."""
        self.make("dead")
        group = self.made(**EVERYTHING)
        self.assertEqual({name: group[name] for name in EVERYTHING}, EVERYTHING)
        found = self.get()
        del found["lag"]
        self.assertEqual(found, group)

    def test_equal(self) -> None:
        """An equal one changes nothing, however it is written."""
        group = self.made()
        for body in (None, b"", {}, DEFAULTS, group, {"lease": None, "order": None}, b'{"lease": 30.0}', self.get()):
            response = self.put(body)
            self.assertEqual(self.expect(200, response), group)
            self.assertEqual((response.header("etag"), response.header("location")), (f'"{group["version"]}"', None))

    def test_replaces(self) -> None:
        """What is left out goes to its default, and the group stays where it is."""
        self.make("dead")
        old = self.made(**EVERYTHING)
        self.appended("a")
        self.assertEqual(self.settled(ack=[self.receipt()]), ["acked"])
        group = self.expect(200, self.put({"lease": 9}))
        self.assertEqual(group, {**old, **DEFAULTS, "lease": 9, "version": group["version"]})
        self.assertNotEqual(group["version"], old["version"])
        self.assertEqual(self.given(), [])

    def test_start(self) -> None:
        """It counts when the group is made: from the oldest, the newest, or a time."""
        self.appended("a")
        self.clock.advance(10)
        self.appended("b")
        self.clock.advance(10)
        for name, start, bodies in (
            ("oldest", "oldest", ["a", "b"]),
            ("newest", "newest", []),
            ("time", "2023-11-14T22:13:25Z", ["b"]),
            ("seconds", "1700000005.5", ["b"]),
            ("early", "0", ["a", "b"]),
        ):
            self.made(name, start=start)
            self.assertEqual(self.given(name), bodies, name)
        self.appended("c")
        self.assertEqual(self.given("newest"), ["c"])
        self.expect(200, self.put({"start": "oldest"}, "newest"))
        self.assertEqual(self.given("newest"), [])

    def test_get_edit_put(self) -> None:
        """What GET gives can be edited and put back, as long as no other client has changed it; its lag is ignored."""
        self.made()
        self.appended("a")
        group = self.get()
        self.receipt()
        changed = self.expect(200, self.put({**group, "lease": 60}))
        self.assertEqual(changed["lease"], 60)
        errors = self.errors("invalid-body", self.put({**group, "lease": 61}))
        self.assertEqual(errors, {"/version": f'is read-only, and is "{changed["version"]}"'})
        self.assertEqual(self.get()["lease"], 60)

    def test_read_only(self) -> None:
        """Other values of what the server sets are refused, and for a new group any."""
        group = self.made()
        for body, errors in (
            ({"name": "p"}, {"/name": 'is read-only, and the path names the group "g"'}),
            ({"created": "2023-11-14T22:13:21Z"}, {"/created": f'is read-only, and is "{CREATED}"'}),
            ({"version": 1}, {"/version": f'is read-only, and is "{group["version"]}"'}),
        ):
            self.assertEqual(self.errors("invalid-body", self.put(body)), errors)
        for member in ("created", "version"):
            errors = self.errors("invalid-body", self.put({member: group[member]}, "new"))
            self.assertEqual(errors, {f"/{member}": "is read-only, and there is no such group yet"})
        self.problem("no-such-group", self.send("GET", self.group("", "new")))

    def test_all_that_is_wrong(self) -> None:
        """Every invalid member is named at once, and nothing is made."""
        errors = self.errors(
            "invalid-body",
            self.put({"start": "soon", "lease": 0, "max_deliveries": 1001, "dead_letter": "q", "order": "PARTITION",
                      "guarantee": 5, "max_in_flight": 0}),
        )  # fmt: skip
        self.assertEqual(
            errors,
            {
                "/start": '"soon" is neither a time (RFC 3339, or seconds since 1970) nor one of oldest, newest, now',
                "/lease": "is not a whole number from 1 to 43200",
                "/max_deliveries": "is not a whole number from 0 to 1000",
                "/dead_letter": "is the queue of the group itself",
                "/order": '"PARTITION" is not one of none, partition, key',
                "/guarantee": "is not text",
                "/max_in_flight": "is not a whole number from 1 to 1000000",
            },
        )
        self.problem("no-such-group", self.send("GET", self.group()))

    def test_dead_letter(self) -> None:
        """It has to be there, of the same application."""
        self.expect(201, self.send("PUT", "/queues/other", None))
        self.expect(201, self.ask("PUT", "/v2/other/queues/theirs", OTHER))
        for name in ("nope", "theirs"):
            errors = self.errors("invalid-body", self.put({"dead_letter": name}))
            self.assertEqual(errors, {"/dead_letter": "The application has no queue of that name for dead letters."})
            self.problem("no-such-group", self.send("GET", self.group()))
        self.made(dead_letter="other")

    def test_what_cannot_be_promised(self) -> None:
        """Exactly once, where the queue or the dead-letter queue is weak."""
        self.make("weak", consistency="weak")
        for queue, settings in (("weak", {}), ("q", {"dead_letter": "weak"})):
            response = self.put({"guarantee": "exactly-once", **settings}, "g", queue)
            self.assertEqual(self.problem("not-promised", response)["applied"], "no")
            self.problem("no-such-group", self.send("GET", self.group("", "g", queue)))
        self.made(queue="weak", guarantee="at-most-once")

    def test_guarantee(self) -> None:
        """Where the group says nothing, it is the queue's, whatever that becomes."""
        self.make("p", guarantee="exactly-once")
        self.assertEqual(self.made(queue="p")["guarantee"], "exactly-once")
        self.expect(200, self.send("PUT", "/queues/p", {"guarantee": "at-most-once"}))
        self.assertEqual(self.get(queue="p")["guarantee"], "at-most-once")

    def test_names(self) -> None:
        """A client that makes a group gets an error about its name; elsewhere there is just no such group."""
        self.assertIsNone(group_name_problem("x" * MAX_GROUP_NAME))
        self.made("x" * MAX_GROUP_NAME)
        allowed = "A group's name has 1 to 64 characters of A-Z a-z 0-9 . _ ~ -"
        dots = '"." and ".." are no names, since URL parsers drop them.'
        for name, detail in (("x" * 65, allowed), ("a b", allowed), ("ü", allowed), ("a:b", allowed), (".", dots),
                             ("..", dots)):  # fmt: skip
            path = quote(name, safe="")
            for response in (self.put(None, path), self.ask_claim(None, path)):
                self.assertEqual(self.errors("invalid-parameters", response), {"group": detail})
            for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/settlements"),
                                 ("POST", "/seek"), ("POST", "/redrive")):  # fmt: skip
                self.problem("no-such-group", self.send(method, self.group(rest, path)))

    def test_types(self) -> None:
        """Only JSON, or nothing at all."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", PATCH, None):
            response = self.send("PUT", self.group(), b"{}", OWNER, kind)
            self.problem("unsupported-media-type", response)
            self.assertEqual(response.header("accept"), "application/json")
        self.assertEqual(self.send("PUT", self.group(), b"{}", OWNER, "application/json; charset=utf-8").status, 201)


class ConditionTests(GroupTestCase):
    """If-Match and If-None-Match."""

    def test_if_match(self) -> None:
        """PUT, PATCH and DELETE change only what they were meant for."""
        self.problem("precondition-failed", self.put(None, If_Match="*"))
        self.problem("no-such-group", self.send("GET", self.group()))
        old = self.made()["version"]
        new = self.expect(200, self.put({"lease": 5}, If_Match=f'"other", "{old}"'))["version"]
        for tag in (f'"{old}"', f'W/"{new}"'):
            for response in (
                self.put({"lease": 6}, If_Match=tag),
                self.change({"lease": 6}, If_Match=tag),
                self.send("DELETE", self.group(), None, {**OWNER, "If-Match": tag}),
            ):
                detail = self.problem("precondition-failed", response)["detail"]
                self.assertEqual(detail, f'The group has the ETag "{new}", which If-Match does not name.')
        self.assertEqual(self.get()["lease"], 5)
        newer = self.expect(200, self.change({"lease": 6}, If_Match=f'"{new}"'))["version"]
        response = self.send("DELETE", self.group(), None, {**OWNER, "If-Match": f'"{newer}"'})
        self.assertEqual(response.status, 204)

    def test_if_none_match(self) -> None:
        """``*`` only makes."""
        group = self.expect(201, self.put(None, If_None_Match="*"))
        for response in (self.put({"lease": 5}, If_None_Match="*"), self.change({"lease": 5}, If_None_Match="*")):
            problem = self.problem("precondition-failed", response)
            self.assertEqual(problem["detail"], "There is a group of this name already.")
        self.problem("precondition-failed", self.change({"lease": 5}, If_None_Match=f'W/"{group["version"]}"'))
        self.assertEqual(self.expect(200, self.change({"lease": 5}, If_None_Match='"x"'))["lease"], 5)

    def test_no_tags(self) -> None:
        """What is none is refused."""
        self.made()
        for response in (self.put(None, If_Match="x"), self.change({}, If_Match='"a" "b"')):
            self.assertEqual(list(self.errors("invalid-parameters", response)), ["If-Match"])
