"""The description is valid; and a daemon is asked what its own allows and what it forbids, and each answer is held
against it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import schemathesis
from twisted.trial.unittest import SynchronousTestCase

from tests.http.described import document, operations, resolved
from tests.live.clients import KEY
from tests.live.command.commanding import endpoint
from tests.live.daemon.test_daemon import LiveTestCase

ROOT: Final = Path(__file__).parents[3]
LONG: Final = bool(os.environ.get("QUEUEY_LONG"))
EXAMPLES: Final = 400 if LONG else 8
"""Random requests for each operation."""

PHASES: Final = "examples,coverage,fuzzing" if LONG else "examples,fuzzing"
"""``coverage`` asks for all at the edges; ``tests.http.test_refusals`` does so in ``make test``, without a daemon."""

EXPECTED: Final = "4" if LONG else "3"
"""Each status below this has to be answered at least once. A condition that holds (304) is rare at random, and
``tests.http`` has requests with one for each path: ``test_v2_ranges``, ``test_v2_settled``, ``test_v2_queues``."""

LIMIT: Final = 3600.0 if LONG else 600.0
"""Seconds until the whole is given up."""

SLOWEST: Final = 60
"""Seconds until an answer is given up."""

OPTIONS: Final = (
    f"--phases={PHASES}",
    # Without this the description itself would be left out.
    "--include-path-regex=^/v2/",
    f"--max-examples={EXAMPLES}",
    f"--request-timeout={SLOWEST}",
    "--checks=all",
    # What can be said in a schema is not all that makes a request right: of two parameters only one may be given, and a
    # cursor has to be one. A deleted queue is made again before the next request, as the hooks do it.
    "--exclude-checks=positive_data_acceptance,use_after_free,ensure_resource_availability,object_level_authorization",
    "--continue-on-failure",
    "--warnings=off",
    "--output-sanitize=false",
    "--no-color",
    "--seed=7",
)


def inline_schemas(value: Any) -> Iterator[Any]:
    """Everything that is a schema because of where it stands."""
    if isinstance(value, dict):
        if "schema" in value:
            yield value["schema"]
        for member in value.values():
            yield from inline_schemas(member)
    elif isinstance(value, list):
        for member in value:
            yield from inline_schemas(member)


def examples(value: Any) -> Iterator[tuple[Any, Any]]:
    """A schema and an example of it, for each example that there is anywhere in a value."""
    if isinstance(value, dict):
        if "example" in value:
            yield value["schema"], value["example"]
        if isinstance(value.get("examples"), list):
            for example in value["examples"]:
                yield {name: member for name, member in value.items() if name != "examples"}, example
        for name, member in value.items():
            if name not in ("example", "examples"):
                yield from examples(member)
    elif isinstance(value, list):
        for member in value:
            yield from examples(member)


class ValidityTests(SynchronousTestCase):
    """The document is what it says it is."""

    run_in = "test"

    def setUp(self) -> None:
        self.description = document()

    def check(self, schema: Any, value: Any) -> None:
        """Hold an example against its schema."""
        whole = {**schema, "components": self.description["components"]}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)

    def test_openapi(self) -> None:
        """It is OpenAPI 3.1, by the schema that the standard has; and that does find mistakes."""
        self.assertEqual(self.description["openapi"], "3.1.0")
        schemathesis.openapi.from_dict(self.description).validate()
        del self.description["paths"]["/v2/{application}"]["get"]["responses"]["200"]["description"]
        wrong = schemathesis.openapi.from_dict(self.description)
        self.assertRaises(jsonschema_rs.ValidationError, wrong.validate)

    def test_schemas(self) -> None:
        """Every schema in it is one of JSON Schema 2020-12, as OpenAPI 3.1 has them."""
        found = [*self.description["components"]["schemas"].values(), *inline_schemas(self.description)]
        self.assertGreater(len(found), 50)
        for schema in found:
            jsonschema_rs.meta.validate(schema)

    def test_examples(self) -> None:
        """Every example is as its schema has it."""
        found = list(examples(self.description))
        self.assertGreater(len(found), 40)
        for schema, value in found:
            self.check(schema, value)
        self.assertRaises(jsonschema_rs.ValidationError, self.check, {"$ref": "#/components/schemas/Page"}, {})

    def test_paths(self) -> None:
        """What stands in braces in a path is described there, and nothing else is."""
        for path, item in self.description["paths"].items():
            given = [resolved(self.description, each["$ref"]) for each in item.get("parameters", ())]
            names = [each["name"] for each in given if each["in"] == "path"]
            self.assertEqual(re.findall(r"{(\w+)}", path), names)


class ConformanceTests(LiveTestCase):
    """What is answered is what is described."""

    run_in = "test"

    def ask_everything(self, *more: str) -> None:
        """Let schemathesis ask; it fails where an answer is not as described."""
        base = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{base}/v2/openapi.json", f"--url={base}"]
        done = subprocess.run(
            [*command, f"--header=Authorization: Application {KEY}", *OPTIONS, *more],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.live.api.described",
                "QUEUEY_ASKED": base,
                "QUEUEY_ENDPOINT": f"http://127.0.0.1:{endpoint()}/",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")

    def answered(self, log: str) -> dict[tuple[str, str], set[str]]:
        """The statuses that there were, by method and path."""
        found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for status, method, path in re.findall(r" access (\d+) ([A-Z]+) ([^ ?]+)", log):
            name = re.sub(r"(?<=/messages/)[^/]+$", "{id}", re.sub(r"(?<=/queues/)[^/]+", "{queue}", path))
            name = re.sub(r"(?<=/groups/)[^/]+", "{group}", name)
            name = re.sub(r"(?<=/pushes/)[^/]+", "{push}", name)
            name = re.sub(r"(?<=/secrets/)[^/]+", "{secret}", name)
            name = re.sub(r"(?<=/schedules/)[^/]+", "{schedule}", name)
            found[method, name.replace("/v2/queuey", "/v2/{application}")].add(status)
        return found

    def test_conformance(self) -> None:
        """No answer differs from the description, and each success of it comes at times."""
        self.add_settings(
            "[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {endpoint()}\n"
        )
        daemon = self.serve()
        self.ask_everything()
        found = self.answered(daemon.output())
        absent = []
        for method, path, operation in operations(document()):
            promised = {status for status in operation["responses"] if status < EXPECTED}
            absent += [f"{status} {method} {path}" for status in sorted(promised - found[method, path])]
        self.assertEqual(absent, [])
        self.assertNotIn("Traceback", daemon.output())
