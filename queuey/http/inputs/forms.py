"""Form bodies: urlencoded or multipart, the last of a repeated field wins."""

from __future__ import annotations

from io import BytesIO
from typing import Final
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartParser, parse_options_header

from queuey.errors import InvalidRequest
from queuey.model.text import shown

_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
MAX_FIELDS: Final = 1000
"""Fields of a form, parameters of a query, and commas in one of their values."""

MAX_ESCAPES: Final = 100_000
"""Characters of a form that are percent-encoded: decoding those of 1 MiB takes 0.1 s."""

CHARSETS: Final = ("utf-8", "utf8", "us-ascii", "ascii")
"""Names of encodings that a request may give; all text is read as UTF-8."""


def parse_form(body: bytes, content_type: str | None) -> dict[str, str | None]:
    """The fields of a form.

    :param content_type: the header's value; without one the body is taken as urlencoded, as old clients send it.
    :raise InvalidRequest: if the body is no form of that type.
    """
    if not body:
        return {}
    media_type, options = parse_options_header(content_type or _URLENCODED)
    charset = options.get("charset", "utf-8")
    if charset.lower() not in CHARSETS:
        raise _bad(f"A form is UTF-8 text, not {shown(charset)}.")
    if media_type.lower() == _URLENCODED:
        return _urlencoded(body)
    if media_type.lower() == _MULTIPART:
        return _multipart(body, options.get("boundary", ""))
    raise _bad(f'A form is {_URLENCODED} or {_MULTIPART}, not "{shown(content_type or "")}".')


def parse_query(query: bytes) -> dict[str, str | None]:
    """The parameters of a URL's query; the last of a repeated one wins.

    :raise InvalidRequest: if it is not UTF-8 text, percent-encoded.
    """
    if not query:
        return {}
    try:
        return _pairs(query.decode("ascii"))
    except ValueError:
        raise _bad(f"The query of the URL is not UTF-8 text, or has more than {MAX_FIELDS} parameters.") from None


def _urlencoded(body: bytes) -> dict[str, str | None]:
    if body.count(b"%") > MAX_ESCAPES:
        raise _bad(f"The form has more than {MAX_ESCAPES} percent-encoded characters.")
    try:
        return _pairs(body.decode("utf-8"))
    except ValueError:
        raise _bad(f"The form is not UTF-8 text, or has more than {MAX_FIELDS} fields.") from None


def _pairs(text: str) -> dict[str, str | None]:
    return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))


def _multipart(body: bytes, boundary: str) -> dict[str, str | None]:
    if not boundary:
        raise _bad("The Content-Type of a multipart form names its boundary.")
    try:
        parser = MultipartParser(
            BytesIO(body),
            boundary,
            content_length=len(body),
            disk_limit=len(body),
            memory_limit=len(body),
            buffer_size=len(body) + 1,
            part_limit=MAX_FIELDS,
            strict=True,
        )
        return {part.name: part.raw.decode("utf-8") for part in parser}
    except (MultipartError, UnicodeError, ValueError):
        raise _bad("The form is not multipart/form-data of UTF-8 text with the boundary that its type names.") from None


def _bad(text: str) -> InvalidRequest:
    return InvalidRequest({"InvalidParameter": text})
