"""Random requests to v2: no 500, no traceback in the log, and every problem document is complete."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.problems import CODES
from tests.http import garbage, garbage_targets
from tests.http.api_support import KEY
from tests.http.garbage import Garbage
from tests.http.responses import Response
from tests.http.test_api_fuzz import EXAMPLES, OWNER, Api, bounded
from tests.http.wire_support import Connection, encode_request

ID = "1ee83399-4000-6000-8000-000000000000".replace("-", "") + "-1"

RECEIPT = "R" * 88
"""Stands for a receipt that a claim has given."""

METHODS = st.sampled_from(["GET", "GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "POST", "OPTIONS"])
TARGETS = st.one_of(
    st.sampled_from(["", "/queues", "/queues/q", "/queues/new", "/queues/q/messages", f"/queues/q/messages/{ID}"]),
    st.sampled_from(
        [
            "",
            "/g",
            "/new",
            "/g/claims",
            "/g/claims",
            "/new/claims",
            "/g/settlements",
            "/g/settlements",
            "/g/seek",
            "/g/redrive",
        ]
    ).map("/queues/q/groups".__add__),
    st.lists(
        garbage_targets.SEGMENTS | st.sampled_from(["queues", "messages", "groups", "claims", ID]), max_size=6
    ).map(lambda parts: "".join("/" + part for part in parts)),
)
NAMES = st.sampled_from(
    ["limit", "prefix", "after", "since", "until", "order", "max_bytes", "partition", "wait", "fresh", "before", "ttl",
     "key", "delay", "results", "x"]
)  # fmt: skip
VALUES = garbage_targets.NUMBERS | st.sampled_from(
    ["", "now", ID, "true", "asc", "desc", "2023-11-14T22:13:20Z", "0.1"]
)
QUERIES = st.lists(st.tuples(NAMES, VALUES.map(quote)), max_size=3).map(
    lambda pairs: "?" * bool(pairs) + "&".join(f"{name}={value}" for name, value in pairs)
)
FIELDS = st.one_of(
    st.tuples(
        st.sampled_from(["If-Match", "If-None-Match", "If-Range", "Idempotency-Key"]),
        st.sampled_from(["*", '"a"', 'W/"a"', "a", "", '"a", "b"', '"' + "k" * 256 + '"', "\xff"]),
    ),
    st.tuples(
        st.just("Range"), st.sampled_from(["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-1,2-3", "x", ""])
    ),
    st.tuples(st.just("Queuey-Headers"), st.sampled_from(["{}", "%7B%22a%22%3A1%7D", "[]", "%", "%ff", "", "{" * 90])),
    st.tuples(st.just("Content-Encoding"), st.sampled_from(["gzip", "identity", ""])),
    st.tuples(st.just("Accept"), st.sampled_from(["application/x-ndjson", "text/html", "*/*", "q=,;"])),
    garbage.HEADER,
)
TYPES = st.sampled_from(
    ["application/json", "application/merge-patch+json", "application/vnd.queuey.messages+json", "application/x-ndjson",
     "text/plain", "a", "application/json;charset=x", ""]
)  # fmt: skip
_MEMBERS = st.sampled_from(
    ["type", "partitions", "consistency", "guarantee", "principals", "ttl", "name", "created", "version", "x",
     "messages", "body", "body_base64", "delay", "headers", "idempotency_key", "start", "lease", "max_deliveries",
     "dead_letter", "order", "lag", "limit", "wait", "max_bytes", "ack", "retry", "extend", "reject", "receipt",
     "reason", "to", "ids", "since", "until", "all", "after"]
)  # fmt: skip
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["public", "q", "app:a", "dead", "oldest", "newest", ID, "1700000000", RECEIPT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=4),
    max_leaves=8,
)
DOCUMENTS = st.lists(_JSON, min_size=1, max_size=3).map(
    lambda lines: "\n".join(json.dumps(line) for line in lines).encode("utf-8", "surrogatepass")
)
BODIES = st.none() | DOCUMENTS | st.sampled_from(garbage.ODD_JSON) | st.binary(max_size=20)
HEADERS = st.tuples(st.lists(FIELDS, max_size=3), TYPES, st.sampled_from([KEY, KEY, KEY, "x"])).map(
    lambda drawn: (("Authorization", f"Application {drawn[2]}"), ("Content-Type", drawn[1]), *drawn[0])
)
REQUESTS = st.builds(
    Garbage, METHODS, st.tuples(TARGETS, QUERIES).map(lambda drawn: "/v2/app" + drawn[0] + drawn[1]), HEADERS, BODIES,
    st.booleans(),
)  # fmt: skip


_RECEIPTS = st.sampled_from([RECEIPT, RECEIPT, RECEIPT[:-1], "A" * 88, ""])
_SECONDS = st.sampled_from([1, 1, 5, 20, 43200, None, 0, 0.5, -1, 43201, "1"])
_ANYTHING = _JSON | st.none()


def _some(**members: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    """Documents that have some of these members, each mostly as it may be."""
    return st.fixed_dictionaries({}, optional=members).map(lambda found: json.dumps(found).encode())


_ITEMS = st.lists(
    _RECEIPTS
    | st.fixed_dictionaries(
        {"receipt": _RECEIPTS}, optional={"delay": _SECONDS, "lease": _SECONDS, "reason": st.sampled_from(["", "no"])}
    ),
    max_size=3,
)
_PLACES = st.sampled_from([[1], [1], [1.0], None, [], [1, 1], [2], [0], ["1"]])
_TIMES = st.sampled_from(["oldest", "newest", "0", "1700000000", "2023-11-14T22:13:20Z", ID, "x", "", 5, None])
GROUP_REQUESTS = st.one_of(
    st.tuples(st.just("POST"), st.just("/claims"), _some(limit=st.sampled_from([1, 1, 2, 1000, 0]), lease=_SECONDS,
                                                         wait=st.sampled_from([0, 0, 0, 0.5, 21]), partitions=_PLACES,
                                                         max_bytes=st.sampled_from([1, 9, 99, 1 << 24, 0]))),
    st.tuples(st.just("POST"), st.just("/settlements"), _some(ack=_ITEMS, retry=_ITEMS, extend=_ITEMS, reject=_ITEMS)),
    st.tuples(st.just("POST"), st.just("/seek"), _some(to=_TIMES, partitions=_PLACES)),
    st.tuples(st.just("POST"), st.just("/redrive"), _some(
        ids=st.lists(st.sampled_from([ID, "x"]), max_size=2), since=_TIMES, until=_TIMES,
        all=st.sampled_from([True, True, False]),
        after=st.sampled_from([None, None, "aside-1", "ids-5", "x", f"letters-{ID}"]),
    )),
    st.tuples(st.just("PUT"), st.just(""), _some(
        start=_TIMES, lease=_SECONDS, max_deliveries=st.sampled_from([0, 1, 2, 1001]),
        dead_letter=st.sampled_from([None, "dead", "q", "nope"]), order=st.sampled_from(["none", "partition", "x"]),
        guarantee=st.sampled_from(["at-most-once", "at-least-once", "exactly-once", "x"]), lag=_ANYTHING,
    )),
    st.tuples(st.sampled_from(["GET", "GET", "GET", "DELETE"]), st.just(""), st.just(b"")),
)  # fmt: skip
KEYS = st.sampled_from([(), (), (("Idempotency-Key", '"k"'),), (("Idempotency-Key", "k"),)])


class Api2(Api):
    """The whole API, asked by way of v2."""

    def send(self, data: bytes, method: str) -> list[Response]:
        """Send bytes; the final answers, each of them whole."""
        connection = Connection(self.assembly.site).send(data)
        if not connection.received:
            self.clock.pump([1.0] * 25)  # it is a read that waits
        answers = [each for each in connection.responses(method, only_json=False) if each.status >= 200]
        self.answers += len(answers)
        for answer in answers:
            self.check(answer)
        connection.hang_up()
        return answers

    def check(self, answer: Response) -> None:
        """An answer is no 500, says what it is, and a problem is one of the table."""
        assert answer.status not in (500, 501, 502, 504), answer
        if not answer.body:
            return
        kind = answer.header("content-type")
        assert kind is not None, answer
        if kind == "application/json" and answer.status == 400 and answer.error:
            return  # the path could not be read, so that it is unknown which API was meant
        assert (kind == "application/problem+json") == (answer.status >= 400), answer
        if answer.status >= 400:
            problem = answer.json
            assert CODES[problem["code"]].status == answer.status, answer
            assert answer.header("cache-control") == "no-store", answer
            assert (answer.header("retry-after") is not None) == (answer.status == 503), answer

    def check_alive(self) -> None:
        """A new connection is served."""
        (answer,) = self.send(encode_request("GET", "/v2/app/queues", OWNER), "GET")
        assert answer.status == 200, answer


class V2FuzzTests(SynchronousTestCase):
    @bounded(EXAMPLES)
    @given(st.lists(REQUESTS, min_size=1, max_size=6), st.sampled_from(["explicit", "on-write"]))
    def test_any_requests(self, requests: list[Garbage], create: str) -> None:
        """Requests of every kind."""
        api = Api2(Path(self.mktemp()), {"application:app": {"create_queues": create}})
        api.send(encode_request("PUT", "/v2/app/queues/q", OWNER, b""), "PUT")
        api.send(encode_request("PUT", "/v2/app/queues/dead", OWNER, b""), "PUT")
        api.send(encode_request("PUT", "/v2/app/queues/q/groups/g", OWNER, b""), "PUT")
        api.send(encode_request("POST", "/v1/app/q", OWNER, b"x"), "POST")
        for each in requests:
            assert api.send(each.encoded(), each.method), "a whole request without an answer"
        api.check_alive()
        api.close()
        self.assertEqual([], self.flushLoggedErrors())

    @bounded(EXAMPLES)
    @given(st.lists(st.tuples(GROUP_REQUESTS, KEYS, st.sampled_from([0, 0, 1, 40])), min_size=1, max_size=8))
    def test_groups(self, requests: list[tuple[tuple[str, str, bytes], tuple[tuple[str, str], ...], int]]) -> None:
        """Requests about one group, most of which may be; in the end others are given what there is."""
        api = Api2(Path(self.mktemp()), {})
        for name in ("q", "dead"):
            api.send(encode_request("PUT", f"/v2/app/queues/{name}", OWNER, b""), "PUT")
        path, receipt = "/v2/app/queues/q/groups/g", RECEIPT
        for body in (b"a", b"b", b"c"):
            api.send(encode_request("POST", "/v2/app/queues/q/messages", OWNER, body), "POST")
        api.send(encode_request("PUT", path, OWNER, b""), "PUT")
        for (method, rest, body), key, pause in requests:
            fields = (*OWNER.items(), ("Content-Type", "application/json"), *key)
            asked = encode_request(method, path + rest, fields, body.replace(RECEIPT.encode(), receipt.encode()))
            (answer,) = api.send(asked, method)
            if rest == "/claims" and answer.status == 200:
                receipt = next((one.get("receipt", receipt) for one in answer.json["messages"]), receipt)
            api.clock.pump([1.0] * pause)
        (read,) = api.send(encode_request("GET", "/v2/app/queues/q/messages", OWNER), "GET")
        (given,) = api.send(encode_request("POST", "/v2/app/queues/q/groups/other/claims", OWNER, b""), "POST")
        own = [one["id"] for one in given.json["messages"]]
        self.assertEqual(own, [one["id"] for one in read.json["messages"] if one["body"] in "abc"][: len(own)])
        self.assertEqual(len(own), 3)
        api.check_alive()
        api.close()
        self.assertEqual([], self.flushLoggedErrors())
