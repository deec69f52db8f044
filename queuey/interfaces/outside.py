"""Outgoing traffic besides answers and storage: requests for documents, and traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface

from queuey.model.served import Served


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
