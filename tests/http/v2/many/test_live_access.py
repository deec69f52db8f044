"""Who may read many queues live, and what is refused."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from queuey import config
from queuey.core.many import reading
from queuey.model.applications.application import key_id
from queuey.model.applications.signing import Grant, sign
from tests.http.api_support import KEY, NOW, OTHER, SETTINGS
from tests.http.responses import Response
from tests.http.v2.many.test_live import ALL, ANYBODY, ManyLiveCase


class AccessTests(ManyLiveCase):
    """Who may read, and for how long."""

    def test_who_may_not_read(self) -> None:
        self.make("public", type="public")
        self.assertEqual(self.refusal(self.follow_many("queue=a", ANYBODY))["code"], "unauthorized")
        problem = self.refusal(self.follow_many("queue=b&queue=public", OTHER))
        self.assertEqual((problem["code"], [one["parameter"] for one in problem["errors"]]), ("forbidden", ["queue"]))
        self.opened(self.follow_body(ANYBODY, queues=["public"], prefixes=[""]), 1, "caught-up", not_readable=4)
        self.nothing_left_of(1)

    def nothing_left_of(self, streams: int) -> None:
        """No choice is used but those of streams."""
        self.assertEqual(len(self.assembly.live), streams)

    def test_made_private(self) -> None:
        """A queue that is made private ends the streams that name it within two seconds, and others go on without."""
        self.make("public", type="public")
        by_name, by_prefix = self.follow_many("queue=public", OTHER), self.follow_many("prefix=pub", OTHER)
        self.opened(by_prefix, 1, "caught-up")
        patched = self.send("PUT", "/queues/public", {"type": "user"})
        self.expect(200, patched)
        self.appended("secret", queue="public")
        self.turn(1.9)
        problem = by_name.events()[-1]
        self.assertEqual((problem.name, problem.json["code"]), ("problem", "forbidden"))
        self.assertTrue(by_name.over)
        self.assertEqual(self.told(by_prefix.events()), ["public:queue not-readable"])
        self.expect(200, self.send("PUT", "/queues/public", {"type": "public"}))
        self.appended("open", queue="public")
        self.turn(1.9)
        self.assertEqual(self.told(by_prefix.events())[0], "public:queue readable")
        for follower in (by_name, by_prefix):
            self.assertNotIn("secret", follower.text[: follower.text.find("readable")])

    def test_revoked(self) -> None:
        follower = self.follow_many(ALL)
        file = Path(self.mktemp())
        file.write_text(SETTINGS.replace(f"app = {KEY}\n    ", "app = "))
        self.assembly.use(config.load(file))
        self.turn(1.9)
        self.assertEqual(follower.events()[-1].json["code"], "unauthorized")
        self.assertTrue(follower.over)
        self.nothing_left()

    def test_stop(self) -> None:
        followers = [self.follow_many(ALL) for _ in range(3)]
        self.assembly.live.stop(3)
        self.turn()
        self.assertTrue(all(follower.over for follower in followers))
        self.nothing_left()


class SignedTests(ManyLiveCase):
    settings = SETTINGS + "[application:app]\nsigned_urls = true\n"

    def query(self, line: str, until: int = int(NOW) + 60) -> str:
        digest = sha256(KEY.encode()).digest()
        signature = sign(digest, Grant("app", line, "read", str(until)))
        return f"signed_by={key_id(digest)}&signed_for=read&signed_until={until}&signature={signature}"

    def test_signed(self) -> None:
        """A URL is signed for its whole choice; the stream ends when the signature does."""
        signed = self.query("a,b,:room-")
        follower = self.follow_many(f"queue=b&queue=a&prefix=room-&{signed}", ANYBODY)
        self.opened(follower, 3, "caught-up")
        for query in ("queue=a", "queue=a&queue=b", "prefix=room-", "queue=a&queue=b&queue=room-1&prefix=room-"):
            self.assertEqual(self.refusal(self.follow_many(f"{query}&{signed}", ANYBODY))["code"], "unauthorized")
        self.turn(63)
        self.assertEqual(follower.events()[-1].json["code"], "unauthorized")
        self.assertTrue(follower.over)
        self.nothing_left()


class RefusalsTests(ManyLiveCase):
    """What is refused."""

    def errors_of(self, query: str) -> list[str]:
        problem = self.refusal(self.follow_many(query))
        self.assertEqual(problem["code"], "invalid-parameters")
        return [error["parameter"] for error in problem["errors"]]

    def test_queries(self) -> None:
        for query, wrong in (
            ("", [""]),
            ("start=oldest", [""]),
            ("queue=a&queue=a", ["queue"]),
            ("queue=a/b&prefix=:", ["queue", "prefix"]),
            ("&".join(f"queue=a{number}" for number in range(101)), ["queue"]),
            ("&".join(f"prefix=a{number}" for number in range(11)), ["prefix"]),
            ("queue=a&partition=1", ["partition"]),
            ("queue=a&after=x&since=5", ["since"]),
            ("queue=a&limit=0&max_bytes=x&fresh=1&end=2&start=z&data=q&errors=r", [
                "start", "errors", "limit", "max_bytes", "fresh", "end", "data"
            ]),
        ):  # fmt: skip
            self.assertEqual(self.errors_of(query), wrong, query)

    def test_bodies(self) -> None:
        for asked, wrong in (
            ({}, [""]),
            ({"queues": ["a"], "after": "x", "since": "5", "start": "oldest"}, ["/since", "/start"]),
            ({"queues": ["a", 1], "limit": 0, "fresh": 3, "errors": "events"}, ["/errors"]),
            ({"queues": ["a", 1], "limit": 0, "fresh": 3}, ["/queues/1", "/limit", "/fresh"]),
        ):
            problem = self.refusal(self.follow_body(**asked))
            self.assertEqual([error["pointer"] for error in problem["errors"]], wrong)
        self.assertEqual(self.post_query("limit=3").status, 400)

    def post_query(self, query: str) -> Response:
        return self.send("POST", f"/events?{query}", {"queues": ["a"]})

    def test_cursors(self) -> None:
        one = self.expect(200, self.send("GET", "/queues/a/messages"))["next"]
        self.assertEqual(self.refusal(self.follow_many(f"queue=a&after={one}"))["code"], "cursor-mismatch")
        self.assertEqual(self.refusal(self.follow_many("queue=a", Last_Event_ID="x"))["code"], "invalid-cursor")
        self.nothing_left()

    def test_too_many_queues(self) -> None:
        """To catch up with too many is refused before it begins; to wait for what comes is not, in any number."""
        self.patch(reading, "MAX_QUEUES", 2)
        self.assertEqual(self.refusal(self.follow_many(f"{ALL}&start=oldest"))["code"], "too-many-queues")
        follower = self.follow_many(ALL)
        for name in ("a", "b", "room-1", "q"):
            self.appended("0", queue=name)
        self.turn()
        self.assertEqual(self.told(follower.events())[-4:], ["a:0", "b:0", "room-1:0", "q:0"])

    def test_other_methods(self) -> None:
        self.assertEqual(self.send("DELETE", "/events").status, 405)
