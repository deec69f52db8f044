"""URLs, ARNs and accounts, by which SQS names queues."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from queuey.http.sqs.errors import NO_QUEUE, PATH, SqsError, invalid
from queuey.http.wire import Request
from queuey.model.queues.queue import MAX_NAME

_NAME: Final = re.compile(rf"(?=.{{1,{MAX_NAME}}}\Z)[A-Za-z0-9_-]+(?:\.fifo)?", re.ASCII | re.DOTALL)
_ARN: Final = re.compile(r"arn:aws[a-z-]{0,20}:sqs:[a-z0-9-]{1,64}:([0-9]{12}):(.{1,400})", re.ASCII)


def check_new_name(name: str) -> None:
    """Refuse the name of a queue that is to be made.

    :raise SqsError: it is not one that SQS has.
    """
    if _NAME.fullmatch(name) is None:
        raise invalid(f"Can only include alphanumeric characters, hyphens, or underscores. 1 to {MAX_NAME} in length")


def queue_url(request: Request, account: str, name: str, base: str | None = None) -> str:
    """Return the URL of a queue.

    :param base: below which clients reach the queues; ``None``: it has the scheme and host by which the client has
        reached us.
    """
    if base is None:
        host = (request.head.host or b"localhost").decode("latin-1")
        base = f"{scheme(request)}://{host}{PATH if request.path.startswith(PATH.encode()) else ''}"
    return f"{base}/{account}/{quote(name, safe='')}"


def scheme(request: Request) -> str:
    """Return the scheme by which the client has reached us, or the proxy before us if its word is believed."""
    protocols = request.fields.get(b"x-forwarded-proto")
    if protocols is not None and request.connection.believed:
        return "https" if protocols[-1].strip().lower() == b"https" else "http"
    return "https" if request.isSecure() else "http"


def name_of_url(url: str) -> str:
    """Return the name of the queue in a URL. Only its last part counts: the application is that of the key.

    :raise SqsError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        name = unquote(parts.path.rpartition("/")[2], errors="strict")
    except ValueError:
        parts, name = urlsplit(""), ""
    if not name and (parts.path or not parts.netloc):
        raise SqsError("InvalidAddress", f"The address {url[:200]} is not valid for this endpoint.")
    if not 1 <= len(name) <= MAX_NAME:
        raise SqsError("QueueDoesNotExist", NO_QUEUE)
    return name


def arn(region: str, account: str, name: str) -> str:
    """Return the ARN of a queue."""
    return f"arn:aws:sqs:{region}:{account}:{name}"


def name_of_arn(text: str, account: str) -> str | None:
    """Return the name of the queue that an ARN stands for; ``None`` if it is none of the account's."""
    match = _ARN.fullmatch(text)
    return match[2] if match is not None and match[1] == account else None
