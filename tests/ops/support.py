"""Calls of the operators' port of a whole daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from queuey.ops.access import RPC
from tests.http.api_support import ApiTestCase
from tests.http.responses import Response
from tests.http.wire_support import Client, Fields

JSON = {"Content-Type": "application/json"}


class OpsTestCase(ApiTestCase):
    """Calls methods."""

    def setUp(self) -> None:
        super().setUp()
        self.ops = Client(self.assembly.ops)

    def send_call(self, body: Any, headers: Fields = JSON) -> Response:
        """Send a body: bytes, or what is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ops.request("POST", RPC.decode(), headers, data)

    def answered(self, method: str, /, *positional: Any, **params: Any) -> dict[str, Any]:
        """The whole answer to a call."""
        call = {"jsonrpc": "2.0", "method": method, "params": list(positional) or params, "id": 7}
        answer: dict[str, Any] = self.expect(200, self.send_call(call))
        self.assertEqual((answer["jsonrpc"], answer["id"]), ("2.0", 7))
        return answer

    def call(self, method: str, /, *positional: Any, **params: Any) -> Any:
        """What a call returns."""
        answer = self.answered(method, *positional, **params)
        self.assertEqual(set(answer), {"jsonrpc", "result", "id"}, answer)
        return answer["result"]

    def fault(self, method: str, /, *positional: Any, **params: Any) -> dict[str, Any]:
        """The error of a call: its ``data`` has a stable code, and says whether anything was applied."""
        answer = self.answered(method, *positional, **params)
        self.assertEqual(set(answer), {"jsonrpc", "error", "id"}, answer)
        return self.error(answer)

    def error(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The error that an answer tells of."""
        error: dict[str, Any] = answer["error"]
        self.assertEqual(set(error), {"code", "message", "data"})
        self.assertRegex(error["data"]["code"], "^[a-z-]+$")
        self.assertIn(error["data"]["applied"], ("no", "unknown"))
        self.assertIs(type(error["data"]["retryable"]), bool)
        return error
