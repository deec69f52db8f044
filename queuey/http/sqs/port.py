"""A port of its own for clients of SQS: the connections of the clients' HTTP server, on which SQS alone is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import ServerFactory
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from queuey.http.answers.errors import refuse
from queuey.http.connection.channel import Channel
from queuey.http.connection.hooks import Look
from queuey.http.root import HEARTBEAT
from queuey.http.sqs import errors
from queuey.http.wire import Request, Site

_ROOT: Final = b"/"
_HEARTBEAT: Final = HEARTBEAT.encode("ascii")
_NOT_HERE: Final = "This port serves clients of Amazon SQS alone."


@implementer(IProtocolNegotiationFactory)
class SqsPort(ServerFactory[Channel]):
    """Creates the connections of the port. The site counts, limits and closes them as it does its own."""

    noisy = False

    def __init__(self, site: Site) -> None:
        """:param site: of the clients' port."""
        self._site = site
        hooks = site.hooks
        door = SqsDoor(hooks.resource, hooks.look)
        self._hooks = attrs.evolve(hooks, resource=door, look=door.look)

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Make the channel of a new connection."""
        channel = self._site.buildProtocol(addr)
        channel.hooks = self._hooks
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols that TLS may agree on: those of the site."""
        return self._site.acceptableProtocols()


class SqsDoor(Resource):
    """Passes requests of SQS, and the heartbeat, on to the root of all APIs, and refuses all others."""

    isLeaf = True

    def __init__(self, root: IResource, look: Look | None) -> None:
        """:param look: looks at requests whose body is not read yet; see ``Site``."""
        super().__init__()
        self._root = root
        self._look = look

    def look(self, request: Request, go_on: Callable[[], None]) -> None:
        """Refuse a request before its body is read."""
        if not _is_served(request):
            request.process()
        elif self._look is None:
            go_on()
        else:
            self._look(request, go_on)

    def render(self, request: Request) -> object:
        """Serve a request."""
        if _is_served(request):
            return self._root.render(request)
        if request.method == b"POST" and request.path == _ROOT:  # clients know no other error without a signature
            text = "Request is missing Authentication Token."
            request.count_refused("sqs")
            errors.answer(request, errors.SqsError("MissingAuthenticationToken", text))
        else:
            request.count_refused("nothing-here")
            refuse(request, 404, {"NotFound": _NOT_HERE})
        return NOT_DONE_YET


def _is_served(request: Request) -> bool:
    return errors.wanted(request) or request.path == _HEARTBEAT
