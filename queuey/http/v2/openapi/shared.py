"""Parameters, header fields and credentials that several requests of v2 have in common."""

from __future__ import annotations

from typing import Any, Final

from queuey.http.v2.items import MAX_HEADERS, MAX_KEY, RESERVED
from queuey.http.v2.openapi import patterns
from queuey.http.v2.openapi.parts import Object, header, in_path, query
from queuey.http.v2.openapi.schemas import EXPIRES, ID, TIME
from queuey.model.group_settings import MAX_GROUP_NAME
from queuey.model.message import MAX_TTL
from queuey.model.queue import MAX_NAME

ON_QUEUE: Final = (
    "unauthorized",
    "forbidden",
    "no-such-application",
    "no-such-queue",
    "nothing-here",
    "method-not-allowed",
    "too-large",
    "content-encoding",
)
"""Codes that any request on a queue that is there may be answered."""


def time_text(description: str) -> Object:
    """A time as parameters take it."""
    text = f"{description} RFC 3339 with any offset, or seconds since 1970 in decimal text."
    return {"type": "string", "description": text, "pattern": patterns.TIME_OR_SECONDS}


def number(low: int, high: int, default: int | None = None) -> Object:
    """A whole number of a range."""
    found = {"type": "integer", "minimum": low, "maximum": high}
    return found if default is None else {**found, "default": default}


def parameters() -> Object:
    """All shared parameters."""
    tag = patterns.text(patterns.ETAGS)
    return {
        "application": in_path(
            "application",
            "The application whose queues they are.",
            patterns.text("^[A-Za-z0-9._-]{1,50}$", **{"not": {"enum": [".", ".."]}}),
            "queuey",
        ),
        "queue": in_path(
            "queue",
            "The queue's name. Names are compared by code points, and not normalised.",
            {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_NAME,
                "pattern": "^[^/,:\\u0000-\\u001f\\u007f-\\u009f]+$",
                "not": {"enum": [".", ".."]},
            },
            "orders",
        ),
        "id": in_path(
            "id", "The message's id; its digits may be of either case.", patterns.text(patterns.ANY_CASE_ID), ID
        ),
        "group": in_path(
            "group",
            "The group's name.",
            {"type": "string", "pattern": rf"^[A-Za-z0-9._~-]{{1,{MAX_GROUP_NAME}}}$", "not": {"enum": [".", ".."]}},
            "billing",
        ),
        "Idempotency-Key": header(
            "Idempotency-Key",
            f"Quoted text of 1 to {MAX_KEY} characters: what was answered to a request with the same key is answered "
            "again, and nothing more is done. Not for streams.",
            patterns.text(patterns.KEY),
            '"order-4711"',
        ),
        "ttl": query("ttl", "Seconds to live; what the queue says.", number(1, MAX_TTL), 3600),
        "Queuey-Headers": header(
            "Queuey-Headers",
            f"The sender's own headers: a JSON object of at most {MAX_HEADERS} bytes, percent-encoded. No name "
            f"begins with `{RESERVED}`, in any case of letters: those are Queuey's own.",
            patterns.text(patterns.ENCODED_OBJECT),
            "%7B%22trace%22%3A%227c2d%22%7D",
        ),
        "traceparent": header(
            "traceparent",
            "The trace that the request is of (W3C Trace Context). Each message that says none in its own headers has "
            "it there from then on. What is no traceparent is ignored.",
            {"type": "string"},
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        "tracestate": header(
            "tracestate",
            "What goes with the traceparent, and is kept with it; ignored without one.",
            {"type": "string"},
            "congo=t61rcWkgMzE",
        ),
        "If-Match": header("If-Match", "Only if the ETag is one of these, or `*`: if it exists.", tag, '"7"'),
        "If-None-Match": header(
            "If-None-Match", "Only if the ETag is none of these, or `*`: if it does not exist.", tag, "*"
        ),
    }


def headers() -> Object:
    """All header fields of answers."""
    return {
        "X-Request-Id": _field("The id of the request, which the log has too; a sane one of the client's is kept."),
        "Cache-Control": _field("`no-store`, but for single messages and settled pages.", examples=["no-store"]),
        "RateLimit": _optional("What is left of the rates of the application, and of the queue, where they have some."),
        "RateLimit-Policy": _optional("These rates: what may be done at once, and how soon that comes back."),
        "ETag": _field("Another one after each change.", examples=['"7"']),
        "Location": _field("Where what was made is.", examples=[f"/v2/queuey/queues/orders/messages/{ID}"]),
        "Link": _optional('`rel="next"`: where more is.'),
        "Accept-Ranges": _field("The units of ranges.", examples=["bytes"]),
        "Content-Range": _field("Which part it is, and of how many bytes.", examples=["bytes 0-9/4096"]),
        "Queuey-Id": _field("The message's id.", examples=[ID]),
        "Queuey-Partition": _field("The number of its partition.", type="integer"),
        "Queuey-Timestamp": _field("The time of the id.", examples=[TIME]),
        "Queuey-Expires": _field("When it is gone.", examples=[EXPIRES]),
        "Queuey-Headers": _optional("The sender's own headers, if there are any: JSON, percent-encoded."),
        "X-Content-Type-Options": _field("`nosniff`: the type is what it says."),
        "Content-Security-Policy": _field("Keeps browsers from running what strangers sent."),
        "Allow": _field("The methods that the path takes."),
        "Retry-After": _field("Seconds after which a retry makes sense.", type="integer"),
        "WWW-Authenticate": _field("The kinds of credentials that are taken."),
    }


def _field(description: str, **more: Any) -> Object:
    """A header field that is always there."""
    return {"description": description, "required": True, "schema": {"type": "string", **more}}


def _optional(description: str) -> Object:
    """One that is there where there is something to say."""
    return {"description": description, "schema": {"type": "string"}}


def security_schemes() -> Object:
    """How callers show who they are."""
    return {
        "application": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Application <key>`: a key of the application that the path names. Where the settings say "
            "so, users show who they are in the same field, by `BrowserID <assertion>`, and what a key has signed may "
            "stand in the query of a queue's paths instead, as `signed_by`, `signed_for`, `signed_until`, "
            "`signed_rate` and `signature`.",
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of an OpenID Connect issuer that the application's settings name.",
        },
    }
