"""The description of the v2 API, and the pages about it: both name every route and every code that the code has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import BadCursor
from queuey.http.admission.cors import _ALLOWED_V2, _EXPOSED_V2
from queuey.http.answers.problems import CODES
from queuey.http.v2.inputs.items import is_media_type
from queuey.http.v2.inputs.repeats import _QUOTED
from queuey.http.v2.inputs.tags import _tag_list
from queuey.http.v2.messages.pages import address_of
from queuey.http.v2.messages.ranges import _SET, _SPEC
from queuey.http.v2.schedule_json import READ_ONLY
from queuey.model.groups import receipts
from queuey.model.queues.queue import is_principal
from queuey.model.reading.cursor import MIN_CURSOR, Cursor, parse, parse_many
from queuey.model.reading.start import STARTS
from queuey.model.reading.window import Position
from queuey.model.timeid import LOWEST, from_hex, from_v1_hex, parse_time, ticks_of, to_rfc3339
from tests.http.api_support import ApiTestCase
from tests.http.described import CURSOR, FILE, ID, RECEIPT, TIME, document, inlined, operations, resolved
from tests.manual import DOCS, whole

QUICKSTART = DOCS / "quickstart.rst"


def references(value: Any) -> Iterator[str]:
    """Everything that is referred to, anywhere in a value."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


class DescriptionTests(SynchronousTestCase):
    """The document itself."""

    def setUp(self) -> None:
        self.description = document()

    def test_references(self) -> None:
        """What is referred to is there, and what is shared is referred to."""
        used = set(references(self.description))
        for reference in used:
            self.assertTrue(resolved(self.description, reference), reference)
        components = self.description["components"]
        shared = {f"#/components/{kind}/{name}" for kind in components for name in components[kind]}
        self.assertEqual(
            shared - used, {f"#/components/securitySchemes/{name}" for name in components["securitySchemes"]}
        )

    def test_names(self) -> None:
        """Every operation has a name of its own, and says what it is for."""
        found = [(operation["operationId"], operation["summary"]) for _, _, operation in operations(self.description)]
        self.assertEqual(len({name for name, _ in found}), len(found))
        self.assertTrue(all(summary for _, summary in found))


class PatternTests(SynchronousTestCase):
    """A validator that goes by the description lets everything through that the code takes, and little else."""

    def setUp(self) -> None:
        components = inlined()["components"]
        self.parameters = {name: given["schema"] for name, given in components["parameters"].items()}
        self.schemas = components["schemas"]

    def compare(self, pattern: str, pieces: Sequence[str], taken: Callable[[str], bool], *, exact: bool) -> None:
        """Put texts together of pieces by lot, and hold what the pattern says of each against the code.

        :param exact: whether the two have to agree; else the pattern may let through what the code does not take.
        """
        random, found = Random(7), Counter[bool]()
        for _ in range(20_000):
            text = "".join(random.choices(pieces, k=random.randrange(1, 7)))
            matches, takes = re.search(pattern, text) is not None, taken(text)
            found[takes] += 1
            self.assertTrue(matches == takes or (matches and not exact), text)
        self.assertGreater(min(found[True], found[False]), 100)

    def test_media_type(self) -> None:
        """Of a message in a batch."""
        pattern = self.schemas["NewMessage"]["properties"]["content_type"]["pattern"]
        pieces = ("a/b", "a/b", " ", ";", "c=d", 'c="\\""', '"', "ü", "=")
        self.compare(pattern, pieces, is_media_type, exact=True)
        self.assertIsNone(re.search(pattern, "a/b" + " ;" * 500 + "!"))

    def test_principal(self) -> None:
        """Of a queue."""
        pattern = self.schemas["Queue"]["properties"]["principals"]["items"]["pattern"]
        pieces = ("app:", "bid:", "sub:https://", "a", "@", ".", ":", "/", " ", "#", ",", "#a", "sub:http://a")
        self.compare(pattern, (*pieces, "\0", "\x9f"), is_principal, exact=True)

    def test_time(self) -> None:
        """In a query; only days that there are."""
        pattern = self.schema_of("readMessages", "since")["anyOf"][1]["pattern"]
        pieces = ("2026-02-", "2024-02-", "2000-02-", "1900-02-", "0000-01-", "2026-04-", "29", "28", "3", "1", "0",
                  "T10:00:0", "0", ".5", "Z", "+01:00", "t23:59:60", "1", "-24:00")  # fmt: skip
        self.compare(pattern, pieces, lambda text: parse_time(text, up=True) is not None, exact=True)
        for date in ("2024-02-29", "2000-02-29", "1900-02-28", "2026-12-31"):
            self.assertIsNotNone(re.search(pattern, f"{date}T00:00:00Z"))
        for date in ("2023-02-29", "1900-02-29", "0000-02-29", "0000-01-01", "2026-04-31", "2026-13-01"):
            self.assertIsNone(re.search(pattern, f"{date}T00:00:00Z"))

    def test_before(self) -> None:
        """Of a purge: one of three kinds."""
        kinds = self.schema_of("purgeMessages", "before")["anyOf"]
        pattern = "|".join(f"({kind.get('pattern') or '^(' + '|'.join(kind['enum']) + ')$'})" for kind in kinds)
        pieces = (ID, ID.upper(), "now", "newest", "oldest", "2026-02-28", "T10:00:00", "Z", "7", ".5", "-1")

        def taken(text: str) -> bool:
            return text in STARTS or address_of(text) is not None or parse_time(text, up=True) is not None

        self.compare(pattern, pieces, taken, exact=True)

    def test_after(self) -> None:
        """Of a read: an id, or what looks like a cursor; whether one is whole, its checksum says."""
        kinds = self.schema_of("readMessages", "after")["anyOf"]
        pattern = "|".join(f"({kind['pattern']})" for kind in kinds)
        pieces = (ID, CURSOR, CURSOR, "A", "=", "1", "_", "%")

        def taken(text: str) -> bool:
            try:
                return address_of(text) is not None or bool(parse(text))
            except BadCursor:
                return False

        self.compare(pattern, pieces, taken, exact=False)
        shortest = Cursor(0, Position(LOWEST, 0)).text()
        longest = Cursor((1 << 128) - 1, Position(LOWEST, 200), True, tuple(range(1, 201)), LOWEST).text()
        for text in (shortest, longest):
            self.assertIsNotNone(re.search(pattern, text), text)
        self.assertEqual(len(shortest), MIN_CURSOR)

    def test_range(self) -> None:
        """Of a message's bytes; one in a unit that is not known is passed over."""
        pattern = self.schema_of("getMessage", "Range")["pattern"]
        pieces = ("bytes=", "Bytes=", "0-", "1", "-9", "5-7", ",", "-", "7-5", "items=")

        def taken(text: str) -> bool:
            match = _SET.fullmatch(text)
            return match is None or None not in [_SPEC.fullmatch(part) for part in match[1].split(",")]

        self.compare(pattern, pieces, taken, exact=True)

    def test_tags(self) -> None:
        """In a condition."""
        pieces = ("*", '"a"', '""', "W/", ",", " ", "\xe4", '"')
        self.compare(
            self.parameters["If-Match"]["pattern"],
            pieces,
            lambda text: text == "*" or (text.strip() == text and bool(_tag_list(text))),
            exact=True,
        )

    def test_key(self) -> None:
        """The Idempotency-Key."""
        pattern = self.parameters["Idempotency-Key"]["pattern"]
        pieces = ('"', '"', "a", " ", "\\", '\\"', "ü", '"abc"')

        def taken(text: str) -> bool:
            match = _QUOTED.fullmatch(text)
            return match is not None and bool(match[1])

        self.compare(pattern, pieces, taken, exact=True)

    def test_id(self) -> None:
        """In a path."""
        pieces = (ID, ID[:-1], ID[:31].upper(), "0", "1", "-", "200", "201")
        self.compare(self.parameters["id"]["pattern"], pieces, lambda text: address_of(text) is not None, exact=True)

    def schema_of(self, operation: str, parameter: str) -> Any:
        """The schema of a parameter that one operation alone has."""
        (found,) = [
            given["schema"]
            for _, _, each in operations(inlined())
            for given in each["parameters"]
            if each["operationId"] == operation and given.get("name") == parameter
        ]
        return found


class PageTests(SynchronousTestCase):
    """docs/api-v2."""

    def setUp(self) -> None:
        self.text = whole("api-v2")

    def test_headings(self) -> None:
        """Everything that is described has a heading, and every heading is described."""
        described = {f"{method} {path}" for method, path, _ in operations(inlined())}
        headings = set(re.findall(r"(?m)^``((?:GET|PUT|POST|PATCH|DELETE) /v2.*)``\n[-~]{3}", self.text))
        self.assertEqual(headings | {"GET /v2/openapi.json"}, described)

    def test_codes(self) -> None:
        """The table of codes is that of the code."""
        table = self.text[self.text.index("\n.. _codes:") :]
        rows = re.findall(r"(?m)^([a-z-]+) +([45]\d\d) +(yes|no) +(no(?:, unknown)?(?:, partly)?) +(\S.*)$", table)
        found = {code: (int(status), retryable == "yes", applied) for code, status, retryable, applied, _ in rows}
        self.assertEqual(len(rows), len(found))
        expected = {
            name: (code.status, code.retryable, "no" + ", unknown" * code.unknown + ", partly" * code.partly)
            for name, code in CODES.items()
        }
        self.assertEqual(found, expected)
        self.assertEqual([row[0] for row in rows], list(CODES))

    def test_parameters(self) -> None:
        """Every parameter of a query has a row in the table below its heading, and every row is a parameter."""
        for method, path, operation in operations(inlined()):
            told = {one["name"] for one in operation["parameters"] if one.get("in") == "query"}
            if told:
                self.assertEqual(set(self.rows("parameter", f"``{method} {path}``")), told, f"{method} {path}")

    def rows(self, first: str, title: str) -> list[str]:
        """The names in the first column of the table that begins so, below a title."""
        section = self.text[self.text.index(f"\n{title}\n") :]
        table = section[section.index(f"   * - {first}\n") :]
        end = re.search(r"\n\n(?! )", table)
        return re.findall(r"(?m)^   \* - ``([a-z_-]+)``$", table[: end.start() if end else None])

    def test_members(self) -> None:
        """What an application tells, its limits, and what a queue takes, have a line each."""
        schemas = inlined()["components"]["schemas"]
        application = schemas["Application"]["properties"]
        self.assertEqual(set(self.rows("limit", "Limits")), set(application["limits"]["properties"]))
        self.assertEqual({"name", *self.rows("member", "``GET /v2/{application}``")}, set(application))
        title = "``PUT /v2/{application}/queues/{queue}``"
        read_only = {"name", "created", "version"}
        self.assertEqual(set(self.rows("member", title)) | read_only, set(schemas["QueueSettings"]["properties"]))

    def test_groups(self) -> None:
        """So have the settings of a group, what is asked of it, and what it tells."""
        schemas = inlined()["components"]["schemas"]
        group = "/v2/{application}/queues/{queue}/groups/{group}"
        for first, title, name, more in (
            ("member", f"PUT {group}", "GroupSettings", {"name", "created", "version", "lag"}),
            ("member", f"POST {group}/claims", "Claim", set()),
            ("member", f"POST {group}/settlements", "Settlement", set()),
            ("member", f"POST {group}/seek", "Seek", set()),
            ("member", f"POST {group}/redrive", "Redrive", set()),
        ):
            rows = set(self.rows(first, f"``{title}``"))
            self.assertEqual(rows | more, set(schemas[name]["properties"]), title)
        push = "/v2/{application}/queues/{queue}/pushes/{push}"
        shown = {"name", "created", "version", "secrets", "state", "since", "failures", "last_error", "blocked"}
        self.assertEqual(
            set(self.rows("member", f"``PUT {push}``")) | shown, set(schemas["PushSettings"]["properties"])
        )
        schedule = "/v2/{application}/queues/{queue}/schedules/{schedule}"
        rows = set(self.rows("member", f"``PUT {schedule}``"))
        self.assertEqual(rows | set(READ_ONLY), set(schemas["ScheduleSettings"]["properties"]))
        outcomes = schemas["Outcome"]["properties"]["outcome"]["enum"]
        self.assertEqual(set(self.rows("outcome", f"``POST {group}/settlements``")), set(outcomes))
        lag = schemas["GroupWithLag"]["properties"]["lag"]["items"]["properties"]
        self.assertEqual(set(self.rows("member of lag", f"``GET {group}``")), set(lag))
        letter = {"queue", "id", "group", "gid", "deliveries", "reason", "origin"}
        self.assertEqual(set(self.rows("member", "Dead letters")), letter)

    def test_headers(self) -> None:
        """Pages of other origins learn which header fields they may send, and may read the exposed ones."""
        section = self.text[self.text.index("\nAllow pages of other origins (CORS)\n") :]
        section = section[section.index("A page may send") : section.index("\n*If the browser says")]
        sent, read = section.split("A page may read")
        for told, coded in ((sent, _ALLOWED_V2), (read, _EXPOSED_V2)):
            self.assertEqual(set(re.findall(r"``([A-Za-z-]+)``", told)), set(coded.decode("ascii").split(", ")))


class SampleTests(SynchronousTestCase):
    """Ids and cursors in the documentation are such."""

    def test_pages(self) -> None:
        """Each id is of the time beside it, and of the partition, and each cursor can be read."""
        for text in (whole("api-v2"), QUICKSTART.read_text(encoding="utf-8")):
            messages = re.findall(r'"id": "(.*?)-(\d+)", "partition": (\d+),\s+"timestamp": "(.*?)"', text)
            messages += re.findall(r'"(?:key|message_id)": "(.*?)"()(), "timestamp": "(.*?)"', text)
            self.assertGreater(len(messages), 1)
            for digits, in_id, partition, time in messages:
                id = from_hex(digits) or from_v1_hex(digits)
                assert id is not None, digits
                self.assertEqual(ticks_of(id), parse_time(time, up=False), digits)
                self.assertEqual(in_id, partition, digits)
            for cursor in re.findall(r'"next": "(.*?)"', text):
                (parse_many if len(cursor) == 42 else parse)(cursor)

    def test_description(self) -> None:
        """So are those in the description, and the receipt."""
        self.assertEqual(parse(CURSOR).position, Position(from_hex(ID[:32]) or LOWEST, 1))
        self.assertEqual(to_rfc3339(ticks_of(from_hex(ID[:32]) or LOWEST)), TIME)
        self.assertEqual(len(RECEIPT), receipts.RECEIPT)
        for text in (whole("api-v2"), QUICKSTART.read_text(encoding="utf-8")):
            for shortened in re.findall(r'"receipt": "(.*?)\.\.\."', text):
                self.assertTrue(RECEIPT.startswith(shortened), shortened)


class EndpointTests(ApiTestCase):
    """``/v2/openapi.json``."""

    path = "/v2/openapi.json"

    def test_everyone(self) -> None:
        """It is the file, byte for byte; it needs no credentials, and pages of any origin may read it."""
        answer = self.ask("GET", self.path, {"Origin": "https://anywhere.example.org"})
        self.assertEqual((answer.status, answer.body), (200, FILE.read_bytes()))
        self.assertEqual(answer.header("access-control-allow-origin"), "*")
        self.assertEqual(answer.header("content-type"), "application/json")

    def test_unchanged(self) -> None:
        """A client that has it gets 304."""
        tag = self.ask("GET", self.path, {}).header("etag") or ""
        self.assertRegex(tag, '^"[0-9a-f]+"$')
        for known in (tag, f"W/{tag}", "*", f'"other", {tag}'):
            again = self.ask("GET", self.path, {"If-None-Match": known})
            self.assertEqual((again.status, again.body, again.header("etag")), (304, b"", tag), known)
        self.assertEqual(self.ask("GET", self.path, {"If-None-Match": '"other"'}).status, 200)

    def test_head(self) -> None:
        """HEAD is GET without the body."""
        answer, whole = self.ask("HEAD", self.path, {}), self.ask("GET", self.path, {})
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.header("content-length"), str(len(whole.body)))

    def test_parameters(self) -> None:
        """It takes none."""
        problem = self.expect(400, self.ask("GET", f"{self.path}?format=yaml", {}))
        self.assertEqual(problem["errors"][0]["parameter"], "format")

    def test_methods(self) -> None:
        """It can only be read."""
        answer = self.ask("POST", self.path, {}, b"")
        self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD, OPTIONS"))

    def test_preflight(self) -> None:
        """A browser that asks first is let through."""
        asking = {"Origin": "https://anywhere.example.org", "Access-Control-Request-Method": "GET"}
        answer = self.ask("OPTIONS", self.path, asking)
        self.assertEqual((answer.status, answer.header("access-control-allow-origin")), (204, "*"))
        self.assertEqual(self.ask("OPTIONS", self.path, {}).header("allow"), "GET, HEAD, OPTIONS")
