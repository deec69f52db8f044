"""Random requests to the API: no 500, no traceback in the log, and every answer is JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from random import Random
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.logs import open_log
from queuey.service.assembly import assemble
from queuey.storage.memory import MemoryStore
from tests.http import garbage, garbage_targets
from tests.http.api_support import KEY, NOW, OTHER_KEY, no_web
from tests.http.garbage import Garbage
from tests.http.garbage_targets import ID
from tests.http.responses import Response
from tests.http.wire_support import Client, Connection, encode_request

LONG = bool(os.environ.get("QUEUEY_LONG"))
EXAMPLES = 50
"""Of a quick run; a long one tries thirty times as many."""

KNOWN = frozenset({200, 201, 204, 400, 401, 403, 404, 405, 408, 413, 414, 431, 507})
"""The statuses that the documentation of v1 has; 503 would be the store's, which is in memory here."""

OWNER = {"Authorization": f"Application {KEY}"}


def bounded(examples: int) -> settings:
    """How much is tried."""
    return settings(
        max_examples=examples * 60 if LONG else examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        stateful_step_count=30,
    )


class Api:
    """The whole API of a store of its own, and a log that is read at the end."""

    def __init__(self, folder: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        numbers = count(1)
        self.store = MemoryStore(
            self.clock, self.clock.seconds, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", Random(7).getrandbits
        )
        self.store.open()
        folder.mkdir(parents=True, exist_ok=True)
        self._log_file = folder / "log"
        self._log_file.unlink(missing_ok=True)
        self._log = open_log(self._log_file, "json", "debug", 2, self.clock.seconds)
        settings = config.load(self._write(folder / "queuey.ini", sections))
        self.assembly = assemble(settings, self.clock, self.clock.seconds, self.store, self._log, no_web)
        globalLogPublisher.addObserver(self._log)
        self.client = Client(self.assembly.site)
        self.answers = 0

    def _write(self, file: Path, sections: Mapping[str, Mapping[str, str]]) -> Path:
        lines = ["[storage]", "backend = memory", "[application_keys]", f"app = {KEY}", f"other = {OTHER_KEY}"]
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    def close(self) -> None:
        """Look at the log: each line is JSON, each answer has its line, and no error is there."""
        globalLogPublisher.removeObserver(self._log)
        text = self._log_file.read_text(encoding="utf-8") if self._log_file.exists() else ""
        assert "Traceback" not in text, text
        lines = [json.loads(line) for line in text.splitlines()]
        assert not [line for line in lines if line["level"] in ("error", "critical")], text
        answered = [line for line in lines if line["event"] == "access" and line["status"] != 499]
        assert len(answered) == self.answers, (len(answered), self.answers, text)

    def send(self, data: bytes, method: str) -> list[Response]:
        """Send bytes whose end is that of a request; the final answers, each of them JSON.

        :param method: of the first answer.
        """
        connection = Connection(self.assembly.site).send(data)
        answers = [each for each in connection.responses(method) if each.status >= 200]
        self.answers += len(answers)
        for answer in answers:
            assert answer.status in KNOWN, answer
            kind = answer.header("content-type")
            problem = kind == "application/problem+json"  # what is damaged may name v2
            if kind == "application/x-amz-json-1.0":  # or be one of SQS, which has no path of its own
                assert answer.json["__type"], answer
                assert answer.status >= 400, answer
            elif problem and (answer.body or method != "HEAD"):
                assert answer.json["status"] == answer.status, answer
            elif answer.body:
                assert answer.json["status"] == ("ok" if answer.status < 300 else "error"), answer
        connection.hang_up()
        assert self.assembly.site.connections == 0
        return answers

    def check_alive(self) -> None:
        """A new connection is served, all its answers."""
        for target in ("/__heartbeat__", "/v1/app?details=1&include_count=1"):
            (answer,) = self.send(encode_request("GET", target, OWNER), "GET")
            assert answer.status == 200, answer


class Machine(RuleBasedStateMachine):
    """Requests that are right make queues and messages, and lend their names and ids to requests that are not."""

    folder: Path

    queues = Bundle("queues")
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.api = Api(self.folder, {"application:app": {"cors_origins": "*"}})

    def teardown(self) -> None:
        self.api.check_alive()
        self.api.close()

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Response:
        fields = {**OWNER, **{name.replace("_", "-"): value for name, value in headers.items()}}
        (answer,) = self.api.send(encode_request(method, target, fields, body), method)
        return answer

    @rule(target=queues, name=st.sampled_from(["q", "r", "ü", "a b", "😀%"]), partitions=st.integers(1, 200))
    def make_queue(self, name: str, partitions: int) -> str:
        form = f"queue_name={quote(name)}&partitions={partitions}".encode()
        answer = self.ask("POST", "/v1/app", form, Content_Type="application/x-www-form-urlencoded")
        assert answer.status in (201, 400), answer
        return "/v1/app/" + quote(name, safe="")

    @rule(queue=consumes(queues))
    def delete_queue(self, queue: str) -> None:
        assert self.ask("DELETE", queue).status in (200, 404)

    @rule(target=ids, queue=queues, bodies=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)))
    def post(self, queue: str, bodies: list[str]) -> object:
        document = {"messages": [{"body": body} for body in bodies]}
        answer = self.ask("POST", queue, json.dumps(document).encode(), Content_Type="application/json")
        if answer.status == 404:
            return multiple()
        assert answer.status == 201, answer
        stored = answer.json["messages"]
        for message, body in zip(stored, bodies, strict=True):
            address = f"{message['partition']}:{message['key']}"
            (found,) = self.ask("GET", f"{queue}/{address}").json["messages"]
            assert found["body"] == body
        return multiple(*(f"{queue}/{message['partition']}:{message['key']}" for message in stored))

    @rule(seconds=st.sampled_from([0.0, 1.0, 300_000.0]))
    def wait(self, seconds: float) -> None:
        self.api.clock.advance(seconds)

    @rule(
        drawn=garbage.REQUESTS,
        queue=queues,
        more=st.lists(garbage_targets.SEGMENTS, max_size=2),
        query=garbage_targets.QUERIES,
    )
    def garbage_at_a_queue(self, drawn: Garbage, queue: str, more: list[str], query: str) -> None:
        self.send(drawn, "/".join([queue, *more]) + query)

    @rule(
        drawn=garbage.REQUESTS,
        id=ids,
        more=st.lists(garbage_targets.SEGMENTS, max_size=2),
        query=garbage_targets.QUERIES,
    )
    def garbage_at_a_message(self, drawn: Garbage, id: str, more: list[str], query: str) -> None:
        self.send(drawn, ",".join([id, *more]) + query)

    @rule(drawn=garbage.QUEUE_REQUESTS, id=ids)
    def nearly_right_at_a_message(self, drawn: Garbage, id: str) -> None:
        self.send(drawn, id)

    @rule(queue=queues, id=ids, query=garbage_targets.QUERIES, parameter=st.sampled_from(["since", "offset"]))
    def read_from_an_id(self, queue: str, id: str, query: str, parameter: str) -> None:
        begin = f"{queue}?{parameter}={id.rpartition(':')[2]}&" + query.lstrip("?")
        self.send(Garbage("GET", begin, tuple(OWNER.items()), None, False), begin)

    def send(self, drawn: Garbage, target: str) -> None:
        self.api.send(Garbage(drawn.method, target, drawn.headers, drawn.body, drawn.chunked).encoded(), drawn.method)
        self.api.check_alive()


def odd_requests() -> Iterator[Garbage]:
    """Each odd number wherever a number may stand, and each odd body as each type."""
    owner = ("Authorization", f"Application {KEY}")
    for number in garbage_targets.ODD_NUMBERS:
        text, wire = quote(number), number.encode().decode("latin-1")
        for target in (
            f"/v1/app?limit={text}",
            *(f"/v1/app/q?{name}={text}" for name in ("limit", "since", "partitions")),
        ):
            yield Garbage("GET", target, (owner,), None, False)
        yield Garbage("DELETE", f"/v1/app/q/{text}:{ID}", (owner,), None, False)
        for method, target in (("POST", "/v1/app/q"), ("PUT", f"/v1/app/q/{ID}")):
            for name in ("X-TTL", "X-Partition"):
                yield Garbage(method, target, (owner, (name, wire)), b"x", False)
        for name in ("ttl", "partition"):
            for shown in (number.encode(), json.dumps(number).encode()):
                body = b'{"messages":[{"body":"x","%b":%b}]}' % (name.encode(), shown)
                yield Garbage("POST", "/v1/app/q", (owner, ("Content-Type", "application/json")), body, False)
        for method, target in (("POST", "/v1/app"), ("PUT", "/v1/app/q")):
            yield Garbage(method, target, (owner,), f"queue_name=q&partitions={text}".encode(), False)
    for body in (*garbage.ODD_JSON, *garbage.ODD_FORMS, b"[" * 100_000, b'{"messages":' * 3000):
        for kind in (
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "text/plain",
        ):
            for method, target in (("POST", "/v1/app"), ("PUT", "/v1/app/q"), ("POST", "/v1/app/q")):
                yield Garbage(method, target, (owner, ("Content-Type", kind)), body, False)


class ApiFuzzTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def open(self, sections: Mapping[str, Mapping[str, str]]) -> Api:
        """An API with these settings, and with a queue and a message if they allow for them."""
        api = Api(self.folder, sections)
        for target, body in (("/v1/app", b"queue_name=q&partitions=3"), ("/v1/app/q", b"x"), (f"/v1/app/q/{ID}", b"y")):
            api.send(encode_request("PUT" if ID in target else "POST", target, OWNER, body), "POST")
        return api

    def check(self, api: Api) -> None:
        """The API goes on, and nothing went wrong."""
        api.check_alive()
        api.close()
        self.assertEqual([], self.flushLoggedErrors())

    @bounded(EXAMPLES)
    @given(garbage.SETTINGS, st.lists(garbage.REQUESTS | garbage.QUEUE_REQUESTS, min_size=1, max_size=6))
    def test_any_requests(self, sections: Mapping[str, Mapping[str, str]], requests: list[Garbage]) -> None:
        """Requests of every kind, under settings of every kind."""
        api = self.open(sections)
        for each in requests:
            answers = api.send(each.encoded(), each.method)
            assert answers, "a whole request without an answer"
        self.check(api)

    @bounded(EXAMPLES)
    @given(st.lists(garbage.REQUESTS | garbage.QUEUE_REQUESTS, min_size=1, max_size=3), st.data())
    def test_damaged_bytes(self, requests: list[Garbage], data: st.DataObject) -> None:
        """Requests that lost bytes, got some more, or were cut off, behind one another on one connection."""
        api = self.open({})
        text = b"".join(each.encoded() for each in requests).replace(b"HEAD", b"GET")
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(text), 400)))
            lost = data.draw(st.sampled_from([0, 0, 1, 2, 5, 40]))
            more = data.draw(
                st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"Host: a\r\n", b" ", b":"])
            )
            text = text[:at] + more + text[at + lost :]
        api.send(text, "GET")
        self.check(api)

    def test_every_oddity(self) -> None:
        """What is known to be hard to read, in each of its places."""
        api = self.open({})
        for each in odd_requests():
            assert api.send(each.encoded(), each.method), each
        self.check(api)

    def test_stateful(self) -> None:
        """Names and ids that are there, mixed with garbage."""

        class Here(Machine):
            folder = self.folder

        run_state_machine_as_test(Here, settings=bounded(EXAMPLES // 10))
        self.assertEqual([], self.flushLoggedErrors())
