"""Requests to the dashboard of a whole daemon in memory, as a browser would send them."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from tests.http.api_support import SETTINGS
from tests.http.responses import Response
from tests.http.wire_support import Client, Connection
from tests.ops.support import OpsTestCase

TOKENS: Final = {
    "all": "a-token-with-every-right",
    "watcher": "a-token-that-watches",
    "reader": "a-token-that-peeks",
    "worker": "a-token-that-operates",
}
RIGHTS: Final = {"all": "watch,peek,operate", "watcher": "watch", "reader": "peek", "worker": "operate"}


def digest(token: str) -> str:
    """A token as the settings have it."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


LINES: Final = "".join(f"\n    {name} {RIGHTS[name]} {digest(token)}" for name, token in TOKENS.items())


class DashboardCase(OpsTestCase):
    """Calls methods as the page does."""

    more = ""

    def setUp(self) -> None:
        self.settings = f"[server]\ndashboard_tokens ={LINES}\ndashboard_hosts = board.example\n{self.more}\n{SETTINGS}"
        super().setUp()
        self.door = Client(self.assembly.dashboard.site)

    def fields(self, who: str | None = "all", **changed: str | None) -> dict[str, str]:
        """What a browser sends with a ``POST`` of the page; a field that is ``None`` is left out."""
        fields: dict[str, str | None] = {
            "Host": "localhost:5002",
            "Origin": "http://localhost:5002",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Authorization": None if who is None else f"Bearer {TOKENS.get(who, who)}",
        }
        fields.update({name.replace("_", "-"): value for name, value in changed.items()})
        return {name: value for name, value in fields.items() if value is not None}

    def ask_door(
        self, who: str | None = "all", method: str = "POST", path: str = "/rpc", **changed: str | None
    ) -> Response:
        """Ask for the name of the caller, with other header fields."""
        body = b'{"jsonrpc":"2.0","method":"dashboard.whoami","id":1}' if method == "POST" else None
        return self.door.request(method, path, self.fields(who, **changed), body)

    def called(self, who: str, method: str, /, **params: Any) -> dict[str, Any]:
        """The whole answer to a call of a token."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
        answer: dict[str, Any] = self.expect(200, self.door.request("POST", "/rpc", self.fields(who), body))
        return answer

    def stream(self, calls: Any, who: str | None = "all", **changed: str | None) -> Connection:
        """Begin a stream."""
        fields = self.fields(who, **{"Origin": None, "Content_Type": None, **changed})
        return self.door.start("GET", f"/live?calls={quote(json.dumps(calls))}", fields)
