"""The API description as pages: ``.. described:: TAG`` renders the operations of one tag of ``openapi.json``.

``.. described-schemas::`` renders the schemas that bodies refer to. Both write reStructuredText and let Sphinx parse
it, so that headings are in the table of contents, and the search finds parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

FILE: Final = Path(__file__).parents[2] / "queuey" / "http" / "v2" / "openapi.json"
METHODS: Final = ("get", "put", "post", "patch", "delete")
COMMON: Final = frozenset(("400", "401", "403", "404", "405", "408", "413", "414", "415", "429", "431", "500", "503"))
"""Statuses of errors that the page about errors explains for all requests."""

BREAK: Final = "\N{ZERO WIDTH SPACE}/"

Object = Mapping[str, Any]


def prose(text: str) -> str:
    """One paragraph of the description, which marks code by single backticks."""
    return re.sub(r"`([^`]+)`", r"``\1``", " ".join(text.split()))


def table(kind: str, widths: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table with a head; each cell is one paragraph.

    :param kind: its class, by which the style sheet lays it out on a phone.
    """
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", f"   :class: {kind}", "")
    for row in (head, *rows):
        for number, cell in enumerate(row):
            yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()
    yield ""


class Description:
    """Read-only view of ``openapi.json``."""

    def __init__(self, whole: Object) -> None:
        self.whole = whole

    def resolved(self, value: Object) -> Object:
        """Follow ``$ref``; members beside it replace those that it names."""
        while "$ref" in value:
            found: Any = self.whole
            for step in value["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            value = {**found, **{name: given for name, given in value.items() if name != "$ref"}}
        return value

    def operations(self, tag: str) -> Iterator[tuple[str, str, Object, list[Object]]]:
        """Method, path, operation and parameters of all requests with a tag, in the order of the file."""
        for path, item in self.whole["paths"].items():
            for method in METHODS:
                if method in item and tag in item[method]["tags"]:
                    given = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                    yield method.upper(), path, item[method], [self.resolved(one) for one in given]

    def kind(self, schema: Object) -> str:
        """The type of a value in a few words; a schema with members is a link to its table."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f":ref:`{name} <schema-{name}>`" if self.has_members(name) else self.kind(self.resolved(schema))
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                kinds = dict.fromkeys(self.kind(one) for one in schema[several])
                return " or ".join(kind for kind in kinds if kind)
        if schema.get("type") == "array":
            return f"list of {self.kind(schema.get('items', {})) or 'values'}"
        if "const" in schema:
            return f"``{json.dumps(schema['const'])}``"
        named = schema.get("type", "string" if "enum" in schema else "")
        return named if isinstance(named, str) else " or ".join(named)

    def has_members(self, name: str) -> bool:
        """Whether a schema has a table of its own."""
        return "properties" in self.resolved(self.whole["components"]["schemas"][name])

    def simple(self, schema: Object) -> Object:
        """A schema without the alternative ``null``."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            first = self.resolved(next(one for one in schema["anyOf"] if one.get("type") != "null"))
            return {**first, **{name: given for name, given in schema.items() if name != "anyOf"}}
        return schema

    def allowed(self, schema: Object) -> str:
        """The bounds of a value."""
        schema = self.simple(schema)
        if "enum" in schema:
            return ", ".join(f"``{one}``" for one in schema["enum"] if one is not None)
        for low, high, unit in (
            ("minimum", "maximum", ""),
            ("minLength", "maxLength", " characters"),
            ("minItems", "maxItems", " items"),
        ):
            if high in schema:
                return f"{schema.get(low, 0)} to {schema[high]}{unit}"
            if low in schema:
                return f"from {schema[low]}{unit}"
        return ""

    def default(self, schema: Object) -> str:
        """The default of a value, if the description has one."""
        schema = self.simple(schema)
        return f"``{json.dumps(schema['default']).strip(chr(34))}``" if "default" in schema else ""

    def meaning(self, schema: Object) -> str:
        """What a value is."""
        return prose(self.simple(schema).get("description", ""))

    def example(self, content: Object) -> Iterator[str]:
        """The example of a body."""
        if "example" in content:
            example = content["example"]
            text = isinstance(example, str)
            yield from (f".. code-block:: {'text' if text else 'json'}", "")
            yield from (f"   {line}" for line in (example if text else json.dumps(example, indent=2)).splitlines())
            yield ""

    def body(self, title: str, content: Object) -> Iterator[str]:
        """The media types of a body, the schema of each, and an example."""
        for media_type, about in content.items():
            schema = about.get("schema", {})
            note = prose(schema.get("description", ""))
            kind = self.kind(schema)
            of = f": {kind}" if kind else ""
            yield from (f"{title} ``{media_type}``{of}.{' ' if note else ''}{note}", "")
            yield from self.example(about)

    def responses(self, operation: Object) -> Iterator[str]:
        """The table of answers, and the bodies of those that are no errors."""
        found = [(status, self.resolved(one)) for status, one in operation["responses"].items()]
        told = [(f"**{status}**", prose(one["description"])) for status, one in found if status not in COMMON]
        yield from table("answers", "1 6", ("status", "meaning"), told)
        common = ", ".join(status for status, _ in found if status in COMMON)
        yield from (f"Errors that all requests share: {common}; see :doc:`/api-v2/errors`.", "")
        for status, one in found:
            if status.startswith("2"):
                yield from self.body(f"Answer {status},", one.get("content", {}))

    def parameters(self, parameters: list[Object]) -> Iterator[str]:
        """The table of parameters."""
        if parameters:
            rows = []
            for one in parameters:
                schema = one.get("schema", {})
                must = "" if one.get("required") else self.default(schema)
                cells = (self.kind(schema), self.allowed(schema), must, prose(one.get("description", "")))
                rows.append((f"``{one['name']}``", one["in"], *cells))
            yield from table(
                "placed-parameters", "3 1 1 2 1 4", ("name", "in", "type", "allowed", "default", "meaning"), rows
            )

    def tag(self, tag: str) -> Iterator[str]:
        """A section for each operation."""
        for method, path, operation, parameters in self.operations(tag):
            short = path.removeprefix("/v2/{application}") or path
            # A title may be broken before each slash but the first, so that it fits on a phone.
            title = f"{operation['summary']}: {method} {short[0]}{short[1:].replace('/', BREAK)}"
            yield from (f".. _operation-{operation['operationId']}:", "", title, "-" * len(title), "")
            yield from (".. code-block:: text", "", f"   {method} {path}", "")
            for paragraph in operation.get("description", "").split("\n\n"):
                yield from (prose(paragraph), "")
            yield from self.parameters(parameters)
            yield from self.body("Body", self.resolved(operation.get("requestBody", {})).get("content", {}))
            yield from self.responses(operation)

    def schemas(self) -> Iterator[str]:
        """A section for each schema that has members."""
        for name in self.whole["components"]["schemas"]:
            if self.has_members(name):
                schema = self.resolved(self.whole["components"]["schemas"][name])
                yield from (
                    f".. _schema-{name}:",
                    "",
                    name,
                    "-" * len(name),
                    "",
                    prose(schema.get("description", "")),
                    "",
                )
                required = set(schema.get("required", ()))
                rows = [
                    (
                        f"``{member}``" + (" (always)" if member in required else ""),
                        self.kind(value),
                        self.allowed(value),
                        self.default(value),
                        self.meaning(value),
                    )
                    for member, value in schema["properties"].items()
                ]
                yield from table("parameters", "3 2 3 1 4", ("member", "type", "allowed", "default", "meaning"), rows)


class Pages(SphinxDirective):
    """``.. described:: TAG`` and ``.. described-schemas::``."""

    optional_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Parse what the description becomes."""
        self.env.note_dependency(str(FILE))
        description = Description(json.loads(FILE.read_text(encoding="utf-8")))
        lines = description.tag(self.arguments[0]) if self.arguments else description.schemas()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives."""
    app.add_directive("described", Pages)
    app.add_directive("described-schemas", Pages)
    return {"parallel_read_safe": True}
