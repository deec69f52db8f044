"""The parameters of a signed URL: they are taken out of the query before anybody else looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

import attrs

from queuey.errors import BadIdentity
from queuey.http.wire import Request
from queuey.interfaces import Signature
from queuey.model.applications.signing import Grant

_SIGNATURE: Final = "signature"
_NAMES: Final = ("signed_by", "signed_for", "signed_until", "signed_rate", _SIGNATURE)
_NEEDED: Final = ("signed_by", "signed_for", "signed_until")


def may_be_signed(request: Request) -> bool:
    """Whether the query of a request may have a signature; most cannot, and cost no more than this."""
    query = request.line.query
    return bool(query) and (b"signature" in query or b"%" in query)


def take_signature(request: Request, application: str, queue: str | Callable[[], str] | None) -> Signature | None:
    """The signature that a request's URL has, and what it is of; the query is then without it.

    :param queue: that the path names, or a function that returns what stands for the queues that the request chooses;
        ``None`` if there are none.
    :raise BadIdentity: if a parameter is missing, or stands there twice, or the path names no queue.
    """
    given: dict[str, str] = {}
    signed, rest = [], []
    for part in request.line.query.split(b"&"):
        name, _, value = part.partition(b"=")
        word = unquote_to_bytes(name).decode("ascii", "replace")
        if word not in _NAMES:
            rest.append(part)
            continue
        if word in given:
            raise BadIdentity(f"The URL has the parameter {word} twice.")
        given[word] = unquote_to_bytes(value).decode("utf-8", "replace")
        signed.append(part)
    if _SIGNATURE not in given:
        return None
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        raise BadIdentity(f"The URL has a signature, but no {' and no '.join(missing)}.")
    if queue is None:
        raise BadIdentity("A signed URL is for operations on a queue that exists, and not for this path.")
    # An empty parameter beside an ampersand stays, so that the parser that forbids them can refuse it.
    query = b"&" if rest == [b""] else b"&".join(rest)
    request.line = attrs.evolve(request.line, query=query)
    request.signed = b"&".join(signed)
    line = queue if isinstance(queue, str) else queue()
    grant = Grant(application, line, given["signed_for"], given["signed_until"], given.get("signed_rate", ""))
    return Signature(grant, given["signed_by"], given[_SIGNATURE])
