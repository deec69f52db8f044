"""Decode JSON that strangers wrote, so that no two readers can understand it differently."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

from queuey.model.text import shown

_SPACE: Final = " \t\n\r"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NotJSON(ValueError):
    """The bytes are not strict JSON; the text is one sentence without its full stop."""


class DoubledName(NotJSON):
    """An object has a name twice; readers do not agree on which of the two values counts.

    :ivar name: the name, shortened if it is long.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'The JSON has the name "{name}" twice in one object')
        self.name = name


def decoded(data: bytes) -> Any:
    """Decode JSON in UTF-8, in which no object has a name twice.

    :raise NotJSON: the bytes are something else.
    """
    try:
        text = data.decode("utf-8")
        if text[:1] in _SPACE or text[-1:] in _SPACE:
            text = text.strip(_SPACE)
        value, end = _decode(text)
        if end < len(text):
            raise NotJSON("The body is not JSON")
    except NotJSON:
        raise
    except UnicodeDecodeError:
        raise NotJSON("The body is not UTF-8 text") from None
    except (ValueError, RecursionError):
        raise NotJSON("The body is not JSON") from None
    return value


def has_half_pair(data: bytes, value: Any) -> bool:
    """Return whether a text in a JSON value has half of a surrogate pair, so that it cannot be encoded as UTF-8.

    :param data: the JSON. Only an escape in it can make half of a pair, since bytes that are UTF-8 have none.
    :param value: what it was decoded to. One that is nested too deeply to be looked at counts as one that has.
    """
    if b"\\u" not in data:
        return False
    try:
        return _SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None
    except RecursionError:
        return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DoubledName(shown(name))
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).raw_decode
