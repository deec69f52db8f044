"""The description of the v2 API as OpenAPI 3.1, put together from the limits, the words and the codes of the code."""

from __future__ import annotations

import queuey
from queuey.http.v2.openapi import groups, messages, parts, queues, schemas, shared
from queuey.http.v2.openapi.parts import Object

_TEXT = """\
A message queue with bytes in and out, cursors, and retries that are safe.

Every `GET` has its `HEAD`, and every path of an application answers `OPTIONS`. Parameters and members that are not
known, and parameters without a value, are refused. Answers may get new members, which clients pass over. Refusals are
`application/problem+json`; programs go by `code`, `retryable` and `applied`.

Messages are appended and claimed once under an `Idempotency-Key`. All other requests may be repeated without one; they
accept the header and do not look at it, except a purge with `before=now` and a seek to `newest`, which refuse it.
"""


def document() -> Object:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Queuey", "version": queuey.__version__, "description": _TEXT},
        "servers": [{"url": "/"}],
        "security": [{"application": []}, {"bearer": []}],
        "tags": [
            {"name": "queues", "description": "Queues and their settings."},
            {"name": "messages", "description": "Messages, one or many."},
            {"name": "groups", "description": "Consumer groups: messages for one of many workers at a time."},
            {"name": "description", "description": "What machines read about the API."},
        ],
        "paths": {**queues.paths(), **messages.paths(), **groups.paths()},
        "components": {
            "schemas": schemas.components(),
            "parameters": shared.parameters(),
            "responses": parts.shared_refusals(),
            "headers": shared.headers(),
            "securitySchemes": shared.security_schemes(),
        },
    }
