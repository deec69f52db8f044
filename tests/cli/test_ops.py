"""Calls from the shell: where they go, what they say, and how answers look."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.cli import ops
from queuey.cli.ops import CallFailed, Fault
from queuey.config import OpsSettings, load
from tests.cli.test_commands import run


class Answering:
    """A connection that answers what a test says."""

    def __init__(self, answer: bytes | OSError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any, Mapping[str, str]]] = []

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if isinstance(self.answer, OSError):
            raise self.answer
        self.asked.append((method, url, json.loads(body), headers))

    def getresponse(self) -> http.client.HTTPResponse:
        assert isinstance(self.answer, bytes)
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.answer), self.answer)

        class Socket:
            def makefile(self, mode: str) -> BytesIO:
                return BytesIO(data)

        answer = http.client.HTTPResponse(Socket())  # type: ignore[arg-type]
        answer.begin()
        return answer

    def close(self) -> None:
        pass


class CallTests(SynchronousTestCase):
    """One call."""

    def test_what_is_sent(self) -> None:
        connection = Answering(b'{"jsonrpc":"2.0","id":1,"result":[7]}')
        self.assertEqual(ops.call(connection, "keys.list", {"application": "shop"}, "secret"), [7])
        body = {"jsonrpc": "2.0", "id": 1, "method": "keys.list", "params": {"application": "shop"}}
        headers = {"Content-Type": "application/json", "Authorization": "Bearer secret"}
        self.assertEqual(connection.asked, [("POST", "/rpc", body, headers)])
        ops.call(connection, "status", {}, None)
        self.assertNotIn("Authorization", connection.asked[1][3])

    def test_what_goes_wrong(self) -> None:
        for answer, said in (
            (ConnectionRefusedError(111, "Connection refused"), "the daemon does not answer: Connection refused"),
            (b"<html>", "not an operators' port"),
            (b"[]", "not an operators' port"),
            (b'{"status":"ok"}', "not an operators' port"),
        ):
            error = self.assertRaises(CallFailed, ops.call, Answering(answer), "status", {}, None)
            self.assertIn(said, str(error))

    def test_refusals(self) -> None:
        errors = [{"parameter": "ttl", "detail": "is out of range"}, {"parameter": "x", "detail": "is no parameter"}]
        refused = {"code": -32602, "message": "ttl is", "data": {"code": "invalid-parameters", "errors": errors}}
        answer = json.dumps({"jsonrpc": "2.0", "id": 1, "error": refused}).encode()
        fault = self.assertRaises(Fault, ops.call, Answering(answer), "limits.set", {}, None)
        expected = ["ttl is out of range (invalid-parameters)", "x is no parameter (invalid-parameters)"]
        self.assertEqual(fault.lines, expected)
        self.assertEqual(Fault({"code": 7, "message": "No."}).lines, ["No. (7)"])
        no_token = Fault({"code": -32600, "message": "No token.", "data": {"code": "unauthorized", "applied": "no"}})
        self.assertEqual(no_token.lines, ["No token. (unauthorized)", "--token-file names the file that has it"])


class WordsTests(SynchronousTestCase):
    """What is typed."""

    def test_values(self) -> None:
        given = ["name=shop", "ttl=60", "on=true", "none=null", 'text="60"', "many=[1,2]", "a=b=c", "empty=", "nan=NaN"]
        self.assertEqual(
            ops.parameters(given),
            {
                "name": "shop",
                "ttl": 60,
                "on": True,
                "none": None,
                "text": "60",
                "many": [1, 2],
                "a": "b=c",
                "empty": "",
                "nan": "NaN",
            },
        )
        for wrong in (["name"], ["=x"], [""]):
            self.assertIn("is not KEY=VALUE", str(self.assertRaises(CallFailed, ops.parameters, wrong)))
        self.assertEqual(str(self.assertRaises(CallFailed, ops.parameters, ["a=1", "a=2"])), "a is given twice")

    def test_places(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        file = folder / "q.ini"
        for text, found in (
            ("unix:/run/ops.sock", "unix:/run/ops.sock"),
            ("tcp:5001:interface=127.0.0.1", "http://127.0.0.1:5001"),
            ("tcp6:5001:interface=\\:\\:1", "http://[::1]:5001"),
        ):
            file.write_text(f"[server]\nops = {text}\n")
            self.assertEqual(ops.place(load(file).server.ops, "q.ini"), found)
        error = self.assertRaises(CallFailed, ops.place, OpsSettings(), "q.ini")
        self.assertIn("q.ini: there is no operators' port", str(error))
        self.assertIn("ops = unix:/run/queuey/ops.sock", str(error))

    def test_the_socket_beside_the_data(self) -> None:
        """Settings without a port, a folder of data, and no option at all lead to the socket beside the data."""
        folder = Path("/nowhere")
        (file := Path(self.mktemp())).write_text(f"[storage]\npath = {folder}\n")
        missing = "No such file or directory"
        for option, data in (("--config", folder), ("--data", folder), ("", Path.cwd() / "queuey-data")):
            option_and_value = {"--config": ("--config", str(file)), "--data": ("--data", str(folder))}.get(option, ())
            status, out, err = run("ops", *option_and_value, "status")
            self.assertEqual((status, out), (1, ""))
            if "bytes, and 107 are allowed" not in err:  # of the folder that the tests run in
                other = "" if option else "; if its data are elsewhere, as with make run DATA=..., say --data DIR"
                self.assertEqual(err, f"unix:{data}/queuey-ops.sock: the daemon does not answer: {missing}{other}\n")

    def test_no_socket(self) -> None:
        """Settings that have none say what to write, and why there is none."""
        (file := Path(self.mktemp())).write_text("[storage]\nbackend = memory\n")
        self.assertIn("write one into [server], such as ops = unix:", run("ops", "--config", str(file), "status")[2])
        file.write_text("[server]\nops = off\n")
        self.assertIn("there is no operators' port", run("ops", "--config", str(file), "status")[2])
        file.write_text(f"[storage]\npath = /{'x' * 120}\n")
        self.assertIn("has 137 bytes, and 107 are allowed", run("ops", "--config", str(file), "status")[2])

    def test_addresses(self) -> None:
        for wrong in (
            "",
            "unix:",
            "localhost",
            "ftp://a",
            "http://",
            "http://[::1",
            "http://a:b",
            "http://a/rpc",
            "http://a?b",
        ):
            self.assertRaises(CallFailed, ops.connect, wrong)
        for good in ("unix:/run/ops.sock", "http://127.0.0.1:5001", "https://ops.example/", "http://[::1]:1"):
            ops.connect(good).close()

    def test_the_command(self) -> None:
        socket = Path(self.mktemp()).name
        self.assertEqual(
            run("ops", "--to", f"unix:{socket}", "status"),
            (1, "", f"unix:{socket}: the daemon does not answer: No such file or directory\n"),
        )
        self.assertEqual(run("ops")[0], 2)
        self.assertEqual(run("ops", "--to", "unix:x", "status", "word")[0], 1)


class ShownTests(SynchronousTestCase):
    """Answers as people see them."""

    def shown(self, result: Any, *lines: str) -> None:
        self.assertEqual(ops.shown(result), list(lines))

    def test_simple_things(self) -> None:
        self.shown(True, "done")
        self.shown(None, "-")
        self.shown(7, "7")
        self.shown("two\nlines", "two", "lines")
        self.shown(["a", "b"], "a", "b")
        self.shown([], "none")

    def test_yes_and_no(self) -> None:
        """True or false as a whole result is said in the words of the method; within a table it is yes or no."""
        said = {("drain", True): "drained", ("undrain", False): "no longer drained", ("queues.purge", True): "done"}
        for (method, result), line in said.items():
            self.assertEqual(ops.shown(result, method), [line])
        self.assertIn("still drained", ops.shown(True, "undrain")[0])
        self.shown({"draining": False}, "draining  no")

    def test_no_rows(self) -> None:
        """A list without anything in it is said in words, alone or beside its cursor."""
        self.shown({"queues": [], "next": None}, "no queues")
        self.shown({"applications": []}, "no applications")
        self.shown({"name": "shop", "keys": []}, "name  shop", "keys  -")

    def test_an_object(self) -> None:
        self.shown(
            {"name": "shop", "policy": {"ttl": 60, "cors_origins": []}, "keys": [{"id": "ab", "used": None}]},
            "name                 shop",
            "policy.ttl           60",
            "policy.cors_origins  -",
            "",
            "keys:",
            "id  used",
            "ab  -",
        )

    def test_rows(self) -> None:
        found = [{"name": "a", "keys": 2}, {"name": "longer", "more": ["x", "y"]}]
        lines = ("name    keys  more", "a       2     -", "longer  -     x y")
        self.shown(found, *lines)
        self.shown({"applications": found, "next": None}, *lines)
        self.shown({"applications": found, "next": "longer"}, "next  longer", "", "applications:", *lines)

    def test_nothing_moves_the_cursor(self) -> None:
        self.shown({"name": "a\x1b[2Jb"}, "name  a\\u001b[2Jb")
