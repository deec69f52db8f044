"""What the description of v2 lets a client send in its parameters and header fields, the API takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tried
from tests.http.api_support import OWNER
from tests.http.described import inlined, operations
from tests.http.group_support import GroupTestCase

EXAMPLES = tried(5, 100)
"""Values of each parameter."""

UNSAYABLE: dict[str, Callable[[str], bool]] = {
    # A pattern cannot compare two numbers.
    "Range": lambda text: all(int(a) <= int(b) for a, b in re.findall("([0-9]+)-([0-9]+)", text)),
    # It cannot say of a text that it is JSON.
    "Queuey-Headers": lambda text: not text,
}
"""What else has to be so of a value that a pattern matches."""

WITH: dict[str, str] = {"purgeMessages": "before=now"}
"""What a request of an operation needs besides."""


def values(schema: Any, in_header: bool = False) -> st.SearchStrategy[str]:
    """Texts that a schema of a parameter allows, as clients write them."""
    for word in ("anyOf", "enum"):
        if word in schema:
            return st.one_of(*(values(each) if word == "anyOf" else st.just(each) for each in schema[word]))
    if "const" in schema:
        return st.just(str(schema["const"]))
    kind, least = schema["type"], schema.get("minimum")
    if kind == "array":
        return values(schema["items"])
    if kind == "boolean":
        return st.sampled_from(["true", "false"])
    if kind == "integer":
        return st.integers(least, schema["maximum"]).map(str)
    if kind == "number":
        return st.floats(least, schema["maximum"]).map(lambda number: repr(abs(number)))
    excluded = schema.get("not", {}).get("enum", ())
    if "pattern" in schema:
        most, last = schema.get("maxLength", 1000), "\n"
        # A dollar of Python's also matches before a newline at the end, which one of JSON Schema does not.
        texts = st.from_regex(re.compile(schema["pattern"]))
        return texts.filter(lambda text: text[-1:] != last and len(text) <= most and text not in excluded)
    some = st.characters(min_codepoint=32, max_codepoint=126) if in_header else st.characters(codec="utf-8")
    return st.text(some, min_size=schema.get("minLength", 0), max_size=60)


class TakenTests(GroupTestCase):
    """Each parameter of each operation, one at a time."""

    partitions = 200

    def setUp(self) -> None:
        super().setUp()
        self.made()
        self.message = self.appended("some bytes")

    def ask_with(self, method: str, path: str, operation: Any, parameter: Any, value: str) -> None:
        """Ask with one value; it may be refused for what is there, and not for what it looks like."""
        places = {"application": "app", "queue": "q", "id": self.message, "group": "g", "push": "p", "secret": "0" * 12}
        places["schedule"] = "s"
        name, place = parameter["name"], parameter["in"]
        query, headers = WITH.get(operation["operationId"], ""), dict(OWNER)
        if place == "path":
            places[name] = value
        elif place == "header":
            headers[name] = value.encode("latin-1" if name.startswith("If-") else "utf-8").decode("latin-1")
        else:
            if name == "results":
                headers["Content-Type"] = "application/x-ndjson"  # it is of streams alone
            query = f"{name}={quote(value, safe='')}"
        target = re.sub(r"\{(\w+)\}", lambda match: quote(places[match[1]], safe=""), path)
        answer = self.raw(method, f"{target}?{query}" if query else target, headers, b"")
        self.assertLess(answer.status, 500, (target, headers))
        if answer.status == 400:
            code = answer.json["code"]
            self.assertIn(code, ("invalid-cursor", "invalid-body"), (value, operation["operationId"], answer.body))

    def test_allowed(self) -> None:
        description = inlined()
        seen: set[tuple[str, str, str]] = set()
        for method, path, operation in operations(description):
            for parameter in (*description["paths"][path].get("parameters", ()), *operation["parameters"]):
                case = (method, path, parameter["name"])
                if (path.endswith(("/queues/{queue}", "/openapi.json")) and method == "DELETE") or case in seen:
                    continue
                if parameter["name"] in ("traceparent", "tracestate"):
                    continue  # passed over if they are wrong
                seen.add(case)
                self.several(method, path, operation, parameter)
        self.assertGreater(len(seen), 40)

    def several(self, method: str, path: str, operation: Any, parameter: Any) -> None:
        sayable = UNSAYABLE.get(parameter["name"], lambda text: True)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(values(parameter["schema"], parameter["in"] == "header").filter(sayable))
        def check(value: str) -> None:
            self.ask_with(method, path, operation, parameter, value)

        check()
