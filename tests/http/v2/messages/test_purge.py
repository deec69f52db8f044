"""Purging queues over v2."""

from __future__ import annotations

from urllib.parse import quote

from queuey.model.timeid import from_seconds, make, to_v1_hex
from tests.http.api_support import NOW, OTHER, OWNER
from tests.http.responses import Response
from tests.http.v2.reading.test_pages import ReadingTestCase
from tests.http.wire_support import Fields

WRONG = "is neither a time, nor the id of a message, nor one of oldest, newest, now"


class PurgeTests(ReadingTestCase):
    """DELETE …/messages."""

    def purge(self, query: str = "before=now", headers: Fields = OWNER, queue: str = "q") -> Response:
        return self.send("DELETE", self.path(f"?{query}" if query else "", queue), None, headers)

    def purged(self, before: str) -> None:
        """Purge the queue, and look at the answer."""
        response = self.purge(f"before={quote(before, safe='')}")
        self.assertEqual((response.status, response.body, response.header("cache-control")), (204, b"", "no-store"))
        self.assertIsNone(response.header("content-type"))

    def test_now(self) -> None:
        """Everything that there is, at once and in all partitions; once more is no harm."""
        ids = self.fill(6)
        self.purged("now")
        self.assertEqual(self.ids(), [])
        for id in ids:
            self.gone(self.one(id))
            self.gone(self.one(id, "DELETE"))
        self.purged("now")
        new = self.fill(3)
        self.assertEqual(self.ids(), new)
        self.assertEqual(self.bodies("/v1/app/q", "partitions=1,2,3"), ["0", "1", "2"])

    def test_idempotency_keys(self) -> None:
        """A purge up to a place takes a key, and does not look at it; now is another place each time."""
        ids = self.fill(2)
        fields = {**OWNER, "Idempotency-Key": '"k"'}
        self.assertEqual([self.purge(f"before={ids[1]}", fields).status for _ in range(2)], [204, 204])
        errors = self.errors("invalid-parameters", self.purge("before=now", fields))
        text = "is not taken by a purge before now, which is another place each time; name the place, or send no key"
        self.assertEqual(errors, {"Idempotency-Key": text})
        self.assertEqual(self.ids(), ids[1:])

    def test_id(self) -> None:
        """What is before it; it itself stays, as does what is after it, in every partition."""
        ids = self.fill(9)
        self.purged(ids[4])
        self.assertEqual(self.ids(), ids[4:])
        self.purged(ids[4])
        self.assertEqual(self.ids(), ids[4:])
        self.purged(ids[2])
        self.assertEqual(self.ids(), ids[4:])
        self.purged(ids[6].upper())
        self.assertEqual(self.ids(), ids[6:])
        self.assertEqual(self.one(ids[6], "DELETE").status, 204)
        self.purged(f"{make(from_seconds(NOW + 7.5), 1, 2).hex()}-200")
        self.assertEqual(self.ids(), ids[8:])

    def test_time(self) -> None:
        """What is before it; what is of that very time stays."""
        ids = self.fill(9)
        stamps = [message["timestamp"] for message in self.page()["messages"]]
        self.purged(stamps[2])
        self.assertEqual(self.ids(), ids[2:])
        finer = f"{stamps[2][:-1]}1Z"
        for time, left in (
            (finer, 3),
            ("1700000003.5", 4),
            ("2023-11-15T00:13:24.5+02:00", 5),
            ("2023-11-14T22:13:26Z", 6),
            ("0", 6),
        ):
            self.purged(time)
            self.assertEqual(self.ids(), ids[left:], time)

    def test_future(self) -> None:
        """It means what there is by now: what comes later stays, and what is delayed."""
        delayed = self.appended("later", "?delay=60")
        self.fill(3)
        for before in ("now", "1800000000", "9999-12-31T23:59:59Z", f"{make(from_seconds(NOW + 3600), 1, 2).hex()}-1"):
            self.purged(before)
            self.assertEqual(self.ids(), [])
            self.assertEqual(self.one(delayed).body, b"later")
        new = self.fill(2)
        self.assertEqual(self.ids(), new)
        self.clock.advance(60)
        self.assertEqual(self.ids(), [*new, delayed])
        self.purged(delayed)
        self.assertEqual(self.ids(), [delayed])

    def test_other_queues(self) -> None:
        """They are not touched."""
        self.make("p", partitions=3)
        self.appended("y", queue="p")
        self.fill(2)
        self.purged("now")
        self.assertEqual(self.texts(queue="p"), ["y"])

    def test_put_anew(self) -> None:
        """A purged message is not brought back by overwriting it."""
        (id,) = self.fill(1)
        self.purged("now")
        response = self.send("PUT", self.path(f"/{id}"), b"x", OWNER, None)
        self.assertEqual(self.problem("id-out-of-range", response)["applied"], "no")
        self.assertEqual(self.ids(), [])

    def test_bad(self) -> None:
        """A purge says what it means, or nothing is gone."""
        ids = self.fill(3)
        v1 = to_v1_hex(make(from_seconds(NOW + 60), 1, 2))
        for query, errors in (
            ("", {"before": "is missing; it is a time, the id of a message, or one of oldest, newest, now"}),
            ("before=NOW", {"before": f'"NOW" {WRONG}'}),
            (f"before={v1}", {"before": f'"{v1}" {WRONG}'}),
            (f"before={ids[2][:-2]}", {"before": f'"{ids[2][:-2]}" {WRONG}'}),
            (f"before={self.page()['next']}", {"before": f'"{self.page()["next"]}" {WRONG}'}),
            ("before=now&partition=1", {"partition": "is not known; known here: before"}),
        ):
            response = self.purge(query)
            self.assertEqual(self.errors("invalid-parameters", response), errors, query)
            self.assertEqual(self.problem("invalid-parameters", response)["applied"], "no")
        self.assertEqual(self.ids(), ids)

    def test_who(self) -> None:
        """The principals, or the application; never everyone."""
        self.make("public", type="public")
        self.make("shared", principals=["app:other"])
        for queue in ("public", "shared"):
            self.appended("x", queue=queue)
        for queue, headers, code in (
            ("public", {}, "unauthorized"),
            ("public", OTHER, "forbidden"),
            ("shared", OWNER, "forbidden"),
            ("q", OTHER, "forbidden"),
            ("nope", OWNER, "no-such-queue"),
        ):
            self.problem(code, self.purge("before=now", headers, queue))
        self.assertEqual(self.texts(queue="public"), ["x"])
        shared = self.path(queue="shared")
        self.assertEqual([m["body"] for m in self.raw("GET", shared, OTHER).json["messages"]], ["x"])
        self.assertEqual(self.purge("before=now", OTHER, "shared").status, 204)
        self.assertEqual(self.raw("GET", shared, OTHER).json["messages"], [])
