"""JSON-RPC 2.0 as its specification has it, on bytes; and what a hostile caller may send."""

from __future__ import annotations

import json
from typing import Any

import attrs

from queuey.ops import faults
from queuey.ops.rpc import MAX_BATCH, MAX_DEPTH, MAX_DIGITS
from tests.http.responses import Response
from tests.http.wire_support import Connection, encode_request
from tests.ops.support import JSON, OpsTestCase


def call(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
    found = {"jsonrpc": "2.0", "method": method, **more}
    return found if params is None else {**found, "params": params}


class ProtocolTests(OpsTestCase):
    """What is a call, and what is answered."""

    def broken(self, code: int, body: Any, id: Any = None) -> str:
        """The text of the one error that a body is answered with."""
        answer = self.expect(200, self.send_call(body))
        self.assertEqual((answer["id"], answer["error"]["code"]), (id, code), answer)
        return str(self.error(answer)["message"])

    def test_what_is_no_json(self) -> None:
        for body in (
            b"",
            b"{",
            b'{"jsonrpc": "2.0", "method": "status", "id": 1',
            b"\xff",
            b"'status'",
            b"NaN",
            b'{"id": Infinity}',
            b'{"jsonrpc": "2.0", "method": "drain", "method": "status", "id": 1}',
            b'{"id": ' + b"9" * 5000 + b"}",
        ):
            self.broken(faults.PARSE_ERROR, body)

    def test_numbers_that_no_answer_could_have(self) -> None:
        for number in ("1e999", "-1e999", "9" * (MAX_DIGITS + 1), "-" + "9" * (MAX_DIGITS + 1)):
            text = self.broken(faults.PARSE_ERROR, b'{"jsonrpc": "2.0", "method": "drain", "id": %s}' % number.encode())
            self.assertRegex(text, r"^The body has a number of more than 30 digits\.$")
        self.assertFalse(self.call("status")["draining"])

    def test_what_is_nested_too_deeply(self) -> None:
        for body in (
            b"[" * 500_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
            b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        ):
            self.broken(faults.PARSE_ERROR, body)
        deep: Any = 1
        for _ in range(MAX_DEPTH - 3):
            deep = [deep]
        self.assertEqual(self.fault("applications.get", name=deep)["code"], faults.INVALID_PARAMS)
        self.assertEqual(self.call("status")["store"], "answers")

    def test_what_is_no_call(self) -> None:
        for body in (
            1,
            "status",
            None,
            True,
            {},
            {"method": "status", "id": None},
            {"jsonrpc": "1.0", "method": "status"},
            {"jsonrpc": 2.0, "method": "status"},
            {"jsonrpc": "2.0"},
            {"jsonrpc": "2.0", "method": 1},
            {"jsonrpc": "2.0", "method": ["status"]},
            call("status", "text"),
            call("status", 7),
            {**call("status"), "params": None},
            {**call("status"), "extra": 1},
            call("status", id=True),
            call("status", id=[]),
            call("status", id={}),
        ):
            self.broken(faults.INVALID_REQUEST, body)
        for id in (7, "x", 1.5):
            self.broken(faults.INVALID_REQUEST, {"jsonrpc": "2.0", "id": id}, id)

    def test_ids_come_back(self) -> None:
        for id in (0, -1, 1.5, "", "x", None, "\u2028"):
            answer = self.expect(200, self.send_call(call("log.level", id=id)))
            self.assertEqual(answer, {"jsonrpc": "2.0", "result": "info", "id": id})

    def test_notifications_are_done_and_not_answered(self) -> None:
        answer = self.send_call(call("drain"))
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertTrue(self.call("status")["draining"])
        for wrong in (call("no.such"), call("applications.get", {"name": 7}), call("applications.get", ["nobody"])):
            self.assertEqual(self.send_call(wrong).status, 204)

    def test_batches(self) -> None:
        batch = [
            call("applications.set", {"name": "shop", "ttl": 5}, id=1),
            call("log.level"),
            call("policies.get", ["shop"], id="two"),
            7,
            call("no.such", id=3),
        ]
        first, second, third, fourth = self.expect(200, self.send_call(batch))
        self.assertEqual((first["id"], first["result"]["policy"]["ttl"]), (1, 5))
        self.assertEqual((second["id"], second["result"]["ttl"]), ("two", 5))
        self.assertEqual((third["id"], third["error"]["code"]), (None, faults.INVALID_REQUEST))
        self.assertEqual((fourth["id"], fourth["error"]["code"]), (3, faults.METHOD_NOT_FOUND))
        self.assertEqual(self.send_call([call("log.level")] * 3).status, 204)

    def test_batches_are_bounded(self) -> None:
        self.broken(faults.INVALID_REQUEST, [])
        found = self.batch([call("log.level", id=n) for n in range(MAX_BATCH)])
        self.assertEqual([one["id"] for one in found], list(range(MAX_BATCH)))
        text = self.broken(faults.INVALID_REQUEST, [call("drain", id=n) for n in range(MAX_BATCH + 1)])
        self.assertIn(str(MAX_BATCH), text)
        self.broken(faults.INVALID_REQUEST, [0] * 40_000)
        self.broken(faults.PARSE_ERROR, [0] * 100_000)
        self.assertFalse(self.call("status")["draining"])

    def batch(self, calls: list[Any]) -> list[dict[str, Any]]:
        """The answers to a batch that takes more than one turn of the reactor."""
        found: list[dict[str, Any]] = self.answers(json.dumps(calls).encode()).json
        return found

    def answers(self, body: bytes) -> Response:
        connection = self.ops.start("POST", "/rpc", JSON, body)
        self.clock.advance(0)
        response = connection.response("POST")
        self.assertEqual(response.status, 200)
        return response

    def test_batches_take_turns(self) -> None:
        """A few calls are made in one turn of the reactor."""
        connection = self.ops.start("POST", "/rpc", JSON, json.dumps([call("status", id=1)] * 30).encode())
        self.assertEqual(connection.received, b"")
        turns = 0
        while not connection.received:
            due, self.clock.calls = self.clock.calls, []
            later = [each for each in due if each.getTime() > self.clock.seconds()]
            self.clock.calls += later
            for each in due:
                if each not in later:
                    each.called = 1
                    each.func(*each.args, **each.kw)
            turns += 1
            self.assertLess(turns, 10)
        self.assertGreaterEqual(turns, 2)
        self.assertEqual(len(connection.response("POST").json), 30)

    def test_errors_are_bounded(self) -> None:
        """However many parameters are wrong, in however many calls."""
        odd = "\U0001f600" * 70
        wrong = {f"{number}{odd}": 1 for number in range(8)}
        one = self.fault("status", **{str(number): 1 for number in range(40_000)})
        self.assertLessEqual(len(one["data"]["errors"]), 100)
        self.assertIn("There are 40000 mistakes, of which the first", one["message"])
        for calls in (
            [call("status", wrong, id=n) for n in range(MAX_BATCH)],
            [call(odd * 8, id="x" * 98) for n in range(MAX_BATCH)],
            [{"id": "\0" * 16} for n in range(MAX_BATCH)],
        ):
            response = self.answers(json.dumps(calls).encode())
            self.assertLess(len(response.body), 64 << 10)
            self.assertEqual(len(response.json), MAX_BATCH)
            for each in response.json:
                self.error(each)

    def test_ids_are_bounded(self) -> None:
        """Each answer has the id, so that of an error would be as long."""
        for id in ("x" * 1000, "\U0001f600" * 20, 10**29 * 1.5):
            answer = self.send_call(call("log.level", id=id))
            self.assertEqual((answer.json["id"], "error" in answer.json), (id, False) if id == 1.5e29 else (None, True))

    def test_values_are_bounded(self) -> None:
        self.broken(faults.PARSE_ERROR, [call("log.level", [1] * 50_001)])

    def test_bodies_are_bounded(self) -> None:
        answer = self.send_call(b" " * ((1 << 20) + 1))
        self.assertEqual((answer.status, self.error(answer.json)["data"]["code"]), (413, "too-large"))

    def test_methods_that_are_not_there(self) -> None:
        for name in (
            "",
            ".",
            "no",
            "applications",
            "applications.",
            "applications.no",
            "applications.list.x",
            ".status",
            "system.status",
            "__dir__",
            "applications.__dir__",
            "applications._registry",
            "__class__",
            "render",
            "jsonrpc_status",
            "status\0",
            "\ud800",
            "x" * 100_000,
        ):
            error = self.fault(name)
            self.assertEqual((error["code"], error["data"]["code"]), (faults.METHOD_NOT_FOUND, "no-such-method"), name)
            self.assertLess(len(error["message"]), 200)

    def test_wrong_parameters_are_named_all_at_once(self) -> None:
        error = self.fault("keys.add", application=7, digest="abc", colour="red")
        self.assertEqual((error["code"], error["data"]["code"]), (faults.INVALID_PARAMS, "invalid-parameters"))
        named = [one["parameter"] for one in error["data"]["errors"]]
        self.assertEqual(sorted(named), ["'colour'", "application", "digest"])
        wrong: list[list[Any]] = [[], ["a", "b"], [None], [["a"]], [{}], [1.5], [True], ["\ud800"], ["x" * 1001]]
        wrong += [["a\0"], ["a\n"], ["\x9b"]]
        for params in wrong:
            answer = self.expect(200, self.send_call(call("applications.get", params, id=1)))
            self.assertEqual(answer["error"]["code"], faults.INVALID_PARAMS, params)
        self.assertEqual(self.fault("applications.list", limit=True)["code"], faults.INVALID_PARAMS)
        self.assertEqual(self.fault("log.level", level="loud")["code"], faults.INVALID_PARAMS)

    def test_introspection(self) -> None:
        names = self.call("system.listMethods")
        self.assertEqual(names, sorted(names))
        self.assertLessEqual({"status", "drain", "applications.set", "keys.add", "system.methodHelp"}, set(names))
        for name in names:
            self.assertRegex(self.call("system.methodHelp", name).splitlines()[0], r"^[A-Z].*\.$", name)
            for signature in self.call("system.methodSignature", name):
                self.assertLessEqual(set(signature), {"array", "boolean", "number", "object", "string"}, name)
        self.assertEqual(
            self.call("system.methodSignature", "keys.add"),
            [["object", "string"], ["object", "string", "string"]],
        )
        self.assertEqual(self.fault("system.methodHelp", "no.such")["data"]["code"], "no-such-method")

    def test_a_defect_has_an_incident_and_no_detail(self) -> None:
        self.patch(self.assembly.store, "ping", lambda: 1 / 0)
        error = self.fault("status")
        self.assertEqual((error["code"], error["data"]["code"]), (faults.INTERNAL_ERROR, "internal"))
        self.assertIn(error["data"]["incident"], error["message"])
        self.assertNotIn("division", json.dumps(error))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_call_goes_on_without_its_client(self) -> None:
        body = json.dumps(call("applications.set", {"name": "shop"}, id=1)).encode()
        connection = Connection(self.assembly.ops)
        request = encode_request("POST", "/rpc", JSON, body)
        connection.send(request[:-1])
        connection.channel.dataReceived(request[-1:])
        connection.hang_up()
        self.assertEqual(self.call("applications.get", "shop")["name"], "shop")


class AccessTests(OpsTestCase):
    """Who may come in."""

    def status(self, headers: dict[str, str], method: str = "POST", path: str = "/rpc") -> int:
        body = json.dumps(call("log.level", id=1)).encode() if method == "POST" else None
        response = self.ops.request(method, path, headers, body)
        if response.status != 200 and method != "HEAD":
            self.error(response.json)
        if response.status in (401, 403):
            self.assertEqual(response.header("connection"), "close", "no stranger keeps one of the connections")
        self.assertIsNone(response.header("access-control-allow-origin"))
        return response.status

    def test_hosts(self) -> None:
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1:5001", "[::1]", "[::1]:80"):
            self.assertEqual(self.status({**JSON, "Host": host}), 200, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "127.0.0.2", "[::2]", "0"):
            self.assertEqual(self.status({**JSON, "Host": host}), 403, host)

    def test_hosts_of_absolute_targets(self) -> None:
        """Where the target names a host too, both have to be names of this port."""
        for target, host, expected in (
            ("http://localhost/rpc", "localhost", 200),
            ("http://127.0.0.1:5001/rpc", "[::1]", 200),
            ("http://localhost/rpc", "evil.example", 403),
            ("http://localhost/rpc", "evil.example:80", 403),
            ("http://[::1]/rpc", "[::3]:1", 403),
            ("http://evil.example/rpc", "localhost", 403),
            ("http://evil.example/rpc", "evil.example", 403),
        ):
            self.assertEqual(self.status({**JSON, "Host": host}, path=target), expected, (target, host))

    def test_pages_of_no_origin(self) -> None:
        for name, value in (
            ("Origin", "http://localhost"),
            ("Origin", "null"),
            ("Origin", "https://evil.example"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Referer", "http://localhost/"),
        ):
            self.assertEqual(self.status({**JSON, name: value}), 403, name)
        self.assertEqual(self.status({**JSON, "Origin": "http://localhost"}, "OPTIONS"), 403)

    def test_paths_methods_and_types(self) -> None:
        for path in ("/", "/rpc/", "/RPC", "/rpc?x=1", "/v1/app", "/__heartbeat__"):
            self.assertEqual(self.status(JSON, path=path), 200 if path == "/rpc?x=1" else 404, path)
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.status({}, method), 405, method)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "text/json", ""):
            self.assertEqual(self.status({"Content-Type": kind} if kind else {}), 415, kind)
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            self.assertEqual(self.status({"Content-Type": kind}), 200, kind)
        self.assertEqual(self.status({**JSON, "Content-Encoding": "gzip"}), 415)


class TokenTests(AccessTests):
    """The same with a token, and other names."""

    TOKEN = "the-token-of-the-operators"
    settings = AccessTests.settings + f"[server]\nops_token = {TOKEN}\nops_hosts = ops.example [::2]\n"

    def status(self, headers: dict[str, str], method: str = "POST", path: str = "/rpc") -> int:
        return super().status({**headers, "Authorization": f"Bearer {self.TOKEN}"}, method, path)

    def test_hosts(self) -> None:
        for host in ("ops.example", "OPS.example:5001", "[::2]:1", "localhost"):
            self.assertEqual(self.status({**JSON, "Host": host}), 200, host)
        self.assertEqual(self.status({**JSON, "Host": "evil.example"}), 403)

    def test_settings_that_are_read_anew(self) -> None:
        settings = self.assembly.in_force.settings
        ops = attrs.evolve(settings.server.ops, token=None, hosts=("new.example",))
        self.assembly.use(attrs.evolve(settings, server=attrs.evolve(settings.server, ops=ops)))
        self.assertEqual(super().status({**JSON, "Host": "new.example"}), 200)
        self.assertEqual(super().status({**JSON, "Host": "ops.example"}), 403)

    def test_tokens(self) -> None:
        token = self.TOKEN
        for shown in (f"Bearer {token}", f"bearer {token}", f"BEARER  {token}"):
            self.assertEqual(super().status({**JSON, "Authorization": shown}), 200, shown)
        for shown in ("", "Bearer", "Bearer ", f"Bearer {token[:-1]}", f"Bearer {token}x", token, f"Basic {token}"):
            response = self.ops.request("POST", "/rpc", {**JSON, "Authorization": shown}, b"{}")
            self.assertEqual((response.status, response.header("www-authenticate")), (401, "Bearer"), shown)
            self.assertNotIn(token, response.body.decode())
        self.assertEqual(super().status(JSON), 401)
        self.assertEqual(super().status({}, "GET"), 401)
        twice = [*JSON.items(), ("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
        self.assertEqual(self.ops.request("POST", "/rpc", twice, b"{}").status, 401)
