"""Outgoing traffic besides answers and storage: requests for documents, pushes and the secrets that sign them, and
traces."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from queuey.model.pushes.targets import Target
from queuey.model.telemetry.served import Served


class NotHad(Exception):
    """A document could not be fetched; the text says why, for the log."""


class IWeb(Interface):
    """Fetches JSON documents over HTTP. It follows no redirects."""

    def get(url: str, seconds: float) -> Deferred[dict[str, Any]]:
        """Fetch a JSON object.

        :param seconds: the time limit.
        :return: fires with the object. Fails with ``NotHad``.
        """

    def post(url: str, form: Mapping[str, str], seconds: float) -> Deferred[dict[str, Any]]:
        """Post a form, and return the JSON object that it is answered with; as ``get``."""


class ITraces(Interface):
    """Exports spans of requests."""

    def start() -> None:
        """Begin to export; called in the process that serves."""

    def served(served: Served) -> str | None:
        """Record a request that has ended. Never fails and never waits.

        :return: the id of the trace that the span is in; ``None`` if the request is not traced.
        """

    def stop() -> Deferred[None]:
        """Export what is left.

        :return: fires once that is done or given up.
        """


class Unsent(Enum):
    """Why a push got no answer."""

    REFUSED = "address-refused"
    NO_ADDRESS = "no-address"
    CONNECT = "no-connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"


class NotSent(Exception):
    """A push got no answer; it may have been received nevertheless, unless the address was refused or missing."""

    def __init__(self, reason: Unsent) -> None:
        super().__init__(reason.value)
        self.reason = reason


@attrs.frozen
class PushRequest:
    """A request of a push.

    :ivar application: whose push it is; applications share what a sender can do at the same time.
    :ivar headers: names and values, visible ASCII.
    :ivar timeout: seconds until the head of the answer has to be there.
    :ivar named: whether ``push_hosts`` names the host itself, so that networks of the operator may be reached.
    """

    application: str
    target: Target
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    timeout: float
    named: bool


class BodyEnd(Enum):
    """How the body of an answer ended."""

    WHOLE = "whole"
    TOO_LONG = "too long"
    """It has more bytes than are read."""

    CUT = "cut"
    """The connection broke before its end, or its end did not come in time."""


@attrs.frozen
class PushAnswer:
    """The answer of an endpoint.

    :ivar body: its beginning, or all of it.
    """

    status: int
    retry_after: str | None
    content_type: str | None
    body: bytes
    end: BodyEnd


class IPushSender(Interface):
    """Sends pushes over HTTP."""

    def send(request: PushRequest) -> Deferred[PushAnswer]:
        """Send a request once.

        No redirect is followed. Cancelling the result closes the connection.

        :return: fires with the answer. Fails with ``NotSent``.
        """


class Unsealable(Exception):
    """A sealed secret cannot be opened: its key is not in the settings any more, or it is damaged."""


class ISeals(Interface):
    """Encrypts secrets for the store, with keys of the settings."""

    usable: bool = Attribute("Whether there is a key.")

    def seal(secret: bytes) -> bytes:
        """Encrypt a secret with the first key.

        :raise Unsealable: there is no key.
        """

    def unseal(sealed: bytes) -> bytes:
        """Decrypt a secret with one of the keys.

        :raise Unsealable: none of them fits.
        """

    def resealed(sealed: bytes) -> bytes | None:
        """Decrypt a secret with one of the keys, and encrypt it with the first key.

        :return: ``None`` if it is encrypted with the first key already.
        :raise Unsealable: none of the keys fits.
        """
