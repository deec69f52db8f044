"""Attributes of messages: how clients send them, how they are kept in a message's headers, and their MD5s."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

import attrs

from queuey.http.sqs.errors import invalid

MAX_ATTRIBUTES: Final = 10

_NAME: Final = re.compile(r"[\w.-]{1,256}")
"""AWS takes letters of all scripts, although its documentation and its error say otherwise."""

_TYPE: Final = re.compile(r"(String|Number|Binary)(?:\..{1,248})?", re.ASCII)
_UNFIT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not have, and so no text of SQS."""

_LENGTH: Final = struct.Struct(">I").pack


@attrs.frozen
class Attribute:
    """An attribute of a message.

    :ivar type: such as ``String``, ``Number.int`` or ``Binary``.
    :ivar value: text in UTF-8, or bytes if the type is ``Binary``.
    """

    type: str
    value: bytes

    @property
    def binary(self) -> bool:
        """Whether the value is no text."""
        return self.type.startswith("Binary")

    def json(self) -> dict[str, str]:
        """Return the attribute as clients see it, and as it is kept."""
        if self.binary:
            return {"DataType": self.type, "BinaryValue": base64.b64encode(self.value).decode("ascii")}
        return {"DataType": self.type, "StringValue": self.value.decode()}


Attributes = Mapping[str, Attribute]


def is_text(text: str) -> bool:
    """Whether SQS can carry a text."""
    return _UNFIT.search(text) is None


def attributes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Attribute]:
    """Return the attributes that a client gave.

    :raise SqsError: one of them is not allowed.
    """
    if len(given) > MAX_ATTRIBUTES:
        raise invalid(f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].")
    return {name: _attribute(name, one) for name, one in given.items()}


def _attribute(name: str, given: Mapping[str, Any]) -> Attribute:
    dots = name.startswith(".") or name.endswith(".") or ".." in name
    if _NAME.fullmatch(name) is None or dots or name.lower().startswith(("aws.", "amazon.")):
        raise invalid(
            f"The message attribute name '{name[:300]}' is invalid. Attribute name can contain A-Z, a-z, 0-9, "
            "underscore (_), hyphen (-), and period (.) characters."
        )
    kind = given.get("DataType")
    match = _TYPE.fullmatch(kind) if isinstance(kind, str) else None
    if match is None or not isinstance(kind, str):
        what = "must contain non-empty message attribute type"
        if kind:
            what = "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and "
            what += "String"
        raise invalid(f"The message attribute '{name}' {what}.")
    if match[1] == "Binary":
        value = _bytes(name, given.get("BinaryValue"))
    else:
        text = given.get("StringValue")
        if not isinstance(text, str) or not is_text(text):
            raise invalid(f"The message attribute '{name}' must contain a string value that SQS can carry.")
        if match[1] == "Number" and not _is_number(text):
            raise invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.")
        value = text.encode()
    if not value:
        raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type '{match[1]}'.")
    return Attribute(kind, value)


def _bytes(name: str, given: Any) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise invalid(f"The message attribute '{name}' must contain a binary value in Base64.") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) <= 128


def size(found: Attributes) -> int:
    """Return the bytes of attributes that count as those of their message."""
    return sum(len(name.encode()) + len(one.type) + len(one.value) for name, one in found.items())


def md5(found: Attributes) -> str:
    """Return the MD5 of attributes: by name, each part after its length; 1 before a text, and 2 before bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(found):
        one = found[name]
        for part in (name.encode(), one.type.encode()):
            digest.update(_LENGTH(len(part)) + part)
        digest.update((b"\2" if one.binary else b"\1") + _LENGTH(len(one.value)) + one.value)
    return digest.hexdigest()


def wanted(found: Attributes, names: list[str]) -> dict[str, Attribute]:
    """Return the attributes that a receive asks for: by name, by the beginning of names (``prefix.*``), or all."""
    if "All" in names or ".*" in names or "*" in names:
        return dict(found)
    begins = tuple(name[:-2] for name in names if name.endswith(".*"))
    return {name: one for name, one in found.items() if name in names or (begins and name.startswith(begins))}
