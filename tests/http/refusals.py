"""Values that ``openapi.json`` allows, and values that it does not, for each parameter and each member of a body.

The values come from the schemas alone: the bounds themselves, what lies just beyond them, other types, texts that are
too long or do not match, lists that are too long, and members that are unknown, missing or null.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.http.described import ID

OTHERS: tuple[Any, ...] = (True, 7, 1.5, "x", [], {}, [[]], {"a": 1})
"""One value of each type of JSON, and nested ones."""

TEXTS = ("x", "", "é", "a b", "a/b", "\n", "-1", "1.", "_", "=", "a,b", "\u0000", "%", "Z" * 2000)
"""Texts that patterns may not match."""


class Case(NamedTuple):
    """One value at one place.

    :ivar place: JSON pointer of the value in the body.
    :ivar body: the whole body.
    """

    place: str
    body: Any


def alternatives(schema: Any) -> list[Any]:
    """Return the schemas of which a value has to match one."""
    found = [one for each in schema.get("anyOf", [schema]) for one in each.get("allOf", [each])]
    return found if found == [schema] else [one for each in found for one in alternatives(each)]


def kinds(schema: Any) -> set[str]:
    """Return the JSON types that a schema allows; an integer is a number too."""
    if "enum" in schema or "const" in schema:
        return {_kind(one) for one in schema.get("enum", [schema.get("const")])}
    named = schema.get("type", ())
    return {named} if isinstance(named, str) else set(named)


def _kind(value: Any) -> str:
    named = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return named.get(type(value), "null")


def fits(schema: Any, value: Any) -> bool:
    """Tell whether a value is one that a schema allows, as far as the schemas here go."""
    return any(_fits(one, value) for one in alternatives(schema))


def _fits(schema: Any, value: Any) -> bool:
    kind, allowed = _kind(value), kinds(schema)
    if not allowed:
        return True
    if kind == "number" and value == int(value) and "integer" in allowed:
        kind = "integer"
    if kind not in allowed and not (kind == "integer" and "number" in allowed):
        return False
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if kind == "string":
        return _text_fits(schema, value)
    if kind in ("integer", "number"):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if kind == "array":
        return _list_fits(schema, value)
    return kind != "object" or _object_fits(schema, value)


def _text_fits(schema: Any, value: str) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    if value in schema.get("not", {}).get("enum", ()):
        return False
    if schema.get("contentEncoding") == "base64" and not _is_base64(value):
        return False
    # A dollar of Python's also matches before a newline at the end, which one of JSON Schema does not.
    return "pattern" not in schema or (value[-1:] != "\n" and re.search(schema["pattern"], value) is not None)


def _is_base64(text: str) -> bool:
    try:
        return a2b_base64(text, strict_mode=True) is not None
    except ValueError:
        return False


def _list_fits(schema: Any, value: list[Any]) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and any(one in value[:at] for at, one in enumerate(value)):
        return False
    return all(fits(schema.get("items", {}), one) for one in value)


def _object_fits(schema: Any, value: dict[str, Any]) -> bool:
    members = schema.get("properties", {})
    if schema.get("additionalProperties") is False and not set(value) <= set(members):
        return False
    if not set(schema.get("required", ())) <= set(value):
        return False
    names = schema.get("propertyNames", {}).get("pattern", "")
    if not all(re.search(names, name) for name in value):
        return False
    return all(fits(members.get(name, {}), one) for name, one in value.items())


def right(schema: Any) -> Iterator[Any]:
    """Give values that a schema allows: its bounds, its words, the shortest and the longest."""
    for one in alternatives(schema):
        for value in _right(one):
            if fits(schema, value):
                yield value


def _right(schema: Any) -> Iterator[Any]:
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    allowed = kinds(schema)
    if "examples" in schema:
        yield from schema["examples"]
    if allowed & {"integer", "number"}:
        yield schema.get("minimum", 0)
        yield schema.get("maximum", 1_000_000)
    if "boolean" in allowed:
        yield from (True, False)
    if "string" in allowed and "enum" not in schema:
        yield from ("2026-01-31T12:00:00Z", ID, "eA==", "text/plain", "app:app", "a" * schema.get("minLength", 1))
        yield "a" * schema.get("maxLength", 1)
    if "array" in allowed:
        values = list(right(schema.get("items", {"type": "string"})))
        yield from ([], values[:1])
        if kinds(schema.get("items", {})) == {"integer"}:
            yield list(range(1, schema["maxItems"] + 1))
    if "object" in allowed:
        yield example(schema)


def wrong(schema: Any) -> Iterator[Any]:
    """Give values that a schema does not allow: just out of bounds, of other types, too long, unmatched."""
    found: list[Any] = [*OTHERS, None]
    for one in alternatives(schema):
        found += _wrong(one)
    seen: list[str] = []
    for value in found:
        if not fits(schema, value) and repr(value) not in seen:
            seen.append(repr(value))
            yield value


def _wrong(schema: Any) -> Iterator[Any]:
    allowed = kinds(schema)
    if allowed & {"integer", "number"}:
        low, high = schema.get("minimum", 0), schema.get("maximum")
        yield from (low - 1, low + 0.5, -1e300, 1e300)
        if high is not None:
            yield from (high + 1, high * 1000)
    if "string" in allowed:
        yield from TEXTS
        if "maxLength" in schema:
            yield from ("a" * (schema["maxLength"] + 1), "ä" * (schema["maxLength"] + 1))
        for word in schema.get("enum", ()):
            yield from (word.upper(), f"{word} ", word[:-1])
    if "array" in allowed and "items" in schema:
        (first, *_), bad = right(schema["items"]), next(wrong(schema["items"]))
        yield from ([bad], [first, first, bad])
        if schema.get("uniqueItems"):
            yield [first, first]
        if "maxItems" in schema:
            yield [first] * (schema["maxItems"] + 1)


def example(schema: Any, name: str = "") -> dict[str, Any]:
    """Return the smallest object that a schema allows.

    :param name: a member for which room is left: of members that exclude each other, the object has none beside it.
    """
    needed = list(schema.get("required", ()))
    ways = [one["required"] for each in schema.get("oneOf", ()) for one in each.get("anyOf", [each])]
    if ways:
        needed += next((way for way in ways if name in way), ways[-1] if name == "after" else ways[0])
    found = {}
    for one in needed:
        if one != name:
            found[one] = next(value for value in right(schema["properties"][one]) if value != [])
    return found


def bodies(schema: Any, *, allowed: bool, place: str = "") -> Iterator[Case]:
    """Give bodies with one value each that is allowed, or not, at every place in an object.

    :param schema: of the body.
    :param place: its JSON pointer.
    """
    for name, member in schema["properties"].items():
        if _is_read_only(member):
            continue
        base = example(schema, name)
        for value in (right if allowed else wrong)(member):
            yield Case(f"{place}/{name}", {**base, name: value})
        for inner in _inside(member, allowed, f"{place}/{name}"):
            yield Case(inner.place, {**base, name: inner.body})
    if allowed:
        return
    if schema.get("additionalProperties") is False:
        yield Case(f"{place}/unknown", {**example(schema), "unknown": 1})
    for name in schema.get("required", ()):
        yield Case(f"{place}/{name}", example(schema, name))


def _is_read_only(member: Any) -> bool:
    return any(one.get("readOnly") for one in alternatives(member))


def _inside(member: Any, allowed: bool, place: str) -> Iterator[Case]:
    """Give the values of a member that is an object, or a list of objects."""
    for one in alternatives(member):
        if "properties" in one:
            yield from bodies(one, allowed=allowed, place=place)
        for item in alternatives(one.get("items", {})):
            if "properties" in item:
                for inner in bodies(item, allowed=allowed, place=f"{place}/0"):
                    yield Case(inner.place, [inner.body])


def texts(schema: Any, *, allowed: bool) -> Iterator[str]:
    """Give texts of a parameter that are allowed, or not."""
    schemas = [one.get("items", one) for one in alternatives(schema)]
    if allowed:
        for one in schemas:
            yield from (_written(value) for value in right(one))
        return
    numbers = [one for one in schemas if kinds(one) & {"integer", "number"}]
    for one in numbers:
        yield from (_written(one["minimum"] - 1), _written(one["maximum"] + 1))
        yield from ("x", "1.", "+1", "0x1", "1_0", "\u0661", "nan", "9" * 5000, "1 ")
        if kinds(one) == {"integer"}:
            yield from ("1.0", "1e0")
    if not numbers:
        for text in (*TEXTS, *(word for one in schemas for word in _near(one))):
            if text and not any(_text_allowed(one, text) for one in schemas):
                yield text


def _near(schema: Any) -> Iterator[str]:
    if "maxLength" in schema:
        yield from ("a" * (schema["maxLength"] + 1), "ä" * schema["maxLength"] + "ä")
    for word in schema.get("enum", ()):
        yield from (word.upper(), f" {word}")


def _text_allowed(schema: Any, text: str) -> bool:
    return text in ("true", "false") if kinds(schema) == {"boolean"} else _fits(schema, text)


def _written(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
