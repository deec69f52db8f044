"""Header fields that may come once, and the credentials of a request."""

from __future__ import annotations

from typing import Final

from queuey.errors import InvalidRequest
from queuey.http.wire import Request
from queuey.interfaces import Credential

MAX_CREDENTIALS: Final = 8
"""Credentials in one request: each may cost a request to a remote verifier."""

_FIELD: Final = {
    name: name.lower().encode("ascii") for name in ("Authorization", "Content-Type", "X-TTL", "X-Partition")
}


def credentials(request: Request, application: str) -> list[Credential]:
    """The credentials of the Authorization header, several of which may stand there, separated by semicolons.

    Bytes that are no UTF-8 are kept as surrogates, which no key has.

    :param application: which they are sent to.
    :raise InvalidRequest: if there are more than ``MAX_CREDENTIALS``.
    """
    header = single_header(request, "Authorization", "surrogateescape")
    if header is None:
        return []
    found = []
    for part in header.split(";"):
        scheme, _, value = part.strip().partition(" ")
        value = value.strip()
        if scheme and value:
            found.append(Credential(scheme.lower(), value, application, request.client_host))
    if len(found) > MAX_CREDENTIALS:
        raise InvalidRequest({"BadRequest": f"The header Authorization has more than {MAX_CREDENTIALS} credentials."})
    return found


def single_header(request: Request, name: str, errors: str = "strict") -> str | None:
    """The value of a header that may come once; an empty one counts as absent.

    :param errors: what to do with bytes that are no UTF-8.
    :raise InvalidRequest: if it came more than once, or is no UTF-8 text.
    """
    values = request.fields.get(_FIELD[name])
    if values is None:
        return None
    if len(values) > 1:
        raise InvalidRequest({"BadRequest": f"The header {name} came more than once."})
    try:
        return str(values[0], "utf-8", errors).strip() or None
    except UnicodeDecodeError:
        raise InvalidRequest({"BadRequest": f"The header {name} is not UTF-8 text."}) from None
