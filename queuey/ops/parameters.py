"""The parameters of methods: what each may be, and how what was sent becomes values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.http.inputs.mistakes import Mistakes
from queuey.model.applications.application import ID_DIGITS, digest_of
from queuey.model.fields import Number
from queuey.model.reading.start import WORDS, Start, parse_place
from queuey.model.text import is_fit
from queuey.model.timeid import Ticks
from queuey.ops.faults import invalid_params

MAX_TEXT: Final = 1000
"""Characters of a text."""

MAX_SAID: Final = 8 * 1024
"""Bytes of JSON by which the wrong parameters of one call are named; a batch has many calls."""

_DIGEST: Final = "sha256:"
_KEY_ID: Final = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")


@attrs.frozen
class Kind:
    """The type of a parameter.

    :ivar type: of JSON, as signatures name it.
    :ivar allowed: in words.
    :ivar read: converts it to a value; raises ``ValueError`` with the reason of a refusal.
    """

    type: str
    allowed: str
    read: Callable[[Any], Any] = attrs.field(repr=False, eq=False)


@attrs.frozen
class Parameter:
    """One parameter.

    :ivar needed: whether it is required; if it is not, ``null`` means that it is left out.
    :ivar null: whether ``null`` has a meaning.
    """

    name: str
    kind: Kind
    needed: bool = False
    null: bool = False


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a string")
    if len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    if not is_fit(value):
        raise ValueError("has a control character, or half of a surrogate pair")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not a boolean")
    return value


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("is not an array")
    return value


def _digest(value: Any) -> bytes:
    text = _text(value)
    try:
        found = bytes.fromhex(text.removeprefix(_DIGEST))
    except ValueError:
        found = b""
    if not text.startswith(_DIGEST) or len(found) != len(digest_of("")) or text != f"{_DIGEST}{found.hex()}":
        raise ValueError("is not the digest of a key")
    return found


def _key_id(value: Any) -> str:
    text = _text(value)
    if _KEY_ID.fullmatch(text) is None:
        raise ValueError("is not the id of a key")
    return text


def _place(value: Any) -> Start | Ticks:
    found = parse_place(_text(value))
    if found is None:
        raise ValueError("is no place")
    return found


TEXT: Final = Kind("string", f"at most {MAX_TEXT} characters, no control characters among them", _text)
PLACE: Final = Kind("string", f"{WORDS}, a time such as 2026-01-31T12:00:00Z, or seconds since 1970", _place)
BOOLEAN: Final = Kind("boolean", "true or false", _boolean)
ARRAY: Final = Kind("array", "an array", _array)
DIGEST: Final = Kind("string", "sha256: and 64 hex digits in lower case", _digest)
KEY_ID: Final = Kind("string", f"{ID_DIGITS} hex digits in lower case", _key_id)
"""The id of a key. A key in place of its id is refused, so that it does not get into the log."""


def number(field: Number) -> Kind:
    """Return the kind of a number."""
    return Kind("number", field.allowed, field.of_json)


def word(*words: str) -> Kind:
    """One of some words."""

    def read(value: Any) -> str:
        if _text(value) not in words:
            raise ValueError("is not known")
        return str(value)

    return Kind("string", ", ".join(words), read)


def read(parameters: Sequence[Parameter], given: Any) -> dict[str, Any]:
    """The values of parameters by name; those that were left out are not there.

    :param given: an array, in the order of the parameters, or an object.
    :raise Failed: naming all that is wrong.
    """
    named = given if isinstance(given, dict) else _by_place(parameters, given)
    known = {parameter.name: parameter for parameter in parameters}
    others = f"; it takes {', '.join(known)}" if known else ", which takes none"
    wrong = Mistakes(room=MAX_SAID)
    for name in named:
        if name not in known:
            wrong.add(_shown(name), f"is no parameter of this method{others}")
    found: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in named or (named[name] is None and not parameter.null):
            if parameter.needed:
                wrong.add(name, "is missing")
            continue
        value = named[name]
        try:
            found[name] = None if value is None else parameter.kind.read(value)
        except ValueError as error:
            wrong.add(name, f"{error}; allowed: {parameter.kind.allowed}")
    if wrong:
        raise invalid_params(dict(wrong.named), wrong.in_all if wrong.unnamed else "")
    return found


def _by_place(parameters: Sequence[Parameter], given: Sequence[Any]) -> Mapping[str, Any]:
    if len(given) > len(parameters):
        raise invalid_params({"params": f"has {len(given)} values, and this method takes {len(parameters)}"})
    return {parameter.name: value for parameter, value in zip(parameters, given, strict=False)}


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else f"{name[:60]}...")
