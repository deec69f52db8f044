"""Answers of the Query protocol: XML in the namespace of SQS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

TYPE: Final = (b"Content-Type", b"text/xml")

NAMESPACE: Final = "http://queue.amazonaws.com/doc/2012-11-05/"

_WITHOUT_RESULT: Final = frozenset(
    (
        "ChangeMessageVisibility",
        "DeleteMessage",
        "DeleteQueue",
        "PurgeQueue",
        "SetQueueAttributes",
        "TagQueue",
        "UntagQueue",
    )
)
"""Operations whose answers have only the id of the request."""

_ITEMS: Final = {
    "Messages": "Message",
    "QueueUrls": "QueueUrl",
    "queueUrls": "QueueUrl",
    "Failed": "BatchResultErrorEntry",
    "Results": "ListMessageMoveTasksResultEntry",
}
"""Lists, and the element that each of their items is."""

_MAPS: Final = {
    "Attributes": ("Attribute", "Name"),
    "MessageAttributes": ("MessageAttribute", "Name"),
    "Tags": ("Tag", "Key"),
}
"""Maps: the element that each of their entries is, and that of its key."""

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(operation: str, answer: Mapping[str, Any], request_id: str) -> bytes:
    """Return the answer to an operation.

    :param answer: its members, as in JSON.
    """
    result = ""
    if operation not in _WITHOUT_RESULT:
        inner = "".join([_member(operation, name, value) for name, value in answer.items()])
        result = f"<{operation}Result>{inner}</{operation}Result>" if inner else f"<{operation}Result/>"
    metadata = f"<ResponseMetadata>{_element('RequestId', request_id)}</ResponseMetadata>"
    return _whole(f'<{operation}Response xmlns="{NAMESPACE}">{result}{metadata}</{operation}Response>')


def error(code: str, text: str, is_sender: bool, request_id: str) -> bytes:
    """Return an answer with an error.

    :param code: of the error in this protocol.
    """
    inner = "".join(
        (
            _element("Type", "Sender" if is_sender else "Receiver"),
            _element("Code", code),
            _element("Message", text),
            "<Detail/>",
        )
    )
    return _whole(
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{inner}</Error>{_element("RequestId", request_id)}</ErrorResponse>'
    )


def no_operation() -> bytes:
    """Return the answer to a request that names no operation, which AWS does not write as it writes other errors."""
    return b"<UnknownOperationException/>\n"


def _whole(text: str) -> bytes:
    return f'<?xml version="1.0"?>{text}'.encode()


def _member(operation: str, name: str, value: Any) -> str:
    """Return a member of an answer: an element, or one for each item."""
    if isinstance(value, list):
        item = _ITEMS.get(name, f"{operation}ResultEntry")
        return "".join([_element(item, one, operation) for one in value])
    if isinstance(value, dict) and name in _MAPS:
        entry, key = _MAPS[name]
        return "".join(
            [
                f"<{entry}>{_element(key, one)}{_element('Value', found, operation)}</{entry}>"
                for one, found in value.items()
            ]
        )
    return _element(name, value, operation)


def _element(name: str, value: Any, operation: str = "") -> str:
    if isinstance(value, dict):
        inner = "".join([_member(operation, one, found) for one, found in value.items()])
    else:
        inner = _text(value)
    return f"<{name}>{inner}</{name}>"


def _text(value: Any) -> str:
    """Return a text as XML; parsers would read a carriage return that is not escaped as the end of a line."""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return escape(_NOT_IN_XML.sub("\ufffd", text), {"\r": "&#13;"})
