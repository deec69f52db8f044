"""Listening on the endpoints of the settings, with certificates that can be read again while it runs."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.config.kinds.endpoints import arguments
from queuey.errors import Unavailable
from queuey.service.process import inherited_sockets

if TYPE_CHECKING:  # installed with the extra ``tls``
    from OpenSSL.SSL import Connection
    from twisted.protocols.tls import TLSMemoryBIOProtocol

BACKLOG: Final = 1024
"""Connections that may wait to be accepted, unless the endpoint says how many. After a restart more arrive at once than
the 50 of Twisted, and a client that finds no room tries again after a second."""

_NOT_GIVEN: Final = "the service manager has not handed this socket over (LISTEN_FDS, and LISTEN_FDNAMES for names)"

_SAYS_BACKLOG: Final = re.compile(r"(?<!\\):backlog=")


class AddressTaken(Unavailable):
    """Another process listens on an address of the settings."""


@attrs.frozen
class _TLSArguments:
    """The TLS arguments that an ``ssl:`` description passes to a reactor."""

    port: int
    context: Any
    backlog: int
    interface: str


class _Recorder:
    """Replaces the reactor while an ``ssl:`` description is parsed.

    Twisted reads the certificate when it parses the description, keeps it to itself, and has no way of reading it
    again. It passes what it would listen with to the reactor.
    """

    arguments: _TLSArguments

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int, interface: str) -> None:
        """Keep the arguments."""
        self.arguments = _TLSArguments(port, contextFactory, backlog, interface)


def _tls_arguments(description: str) -> _TLSArguments:
    recorder = _Recorder()
    serverFromString(recorder, _with_backlog(description)).listen(None)
    return recorder.arguments


@implementer(IOpenSSLServerConnectionCreator)
class _RenewableCertificate:
    """Serves new TLS connections with the certificate that was read last."""

    def __init__(self, description: str, context: Any) -> None:
        self.description = description
        self.context = context

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        from OpenSSL.SSL import Connection

        return Connection(self.context.getContext(), None)


class Listeners:
    """The ports that are listened on."""

    def __init__(self) -> None:
        self._ports: list[IListeningPort] = []
        self._certificates: list[_RenewableCertificate] = []

    def listen(self, reactor: Any, descriptions: Sequence[str], factory: IProtocolFactory) -> None:
        """Listen on every endpoint, or on none.

        :raise Unavailable: one of them cannot be listened on; the text has its name and the reason.
        """
        try:
            for description in descriptions:
                self._ports.append(self._listen(reactor, description, factory))
        except Unavailable:
            self.stop()
            raise

    def listen_beside_data(self, reactor: Any, description: str, factory: IProtocolFactory) -> None:
        """Listen on a Unix socket in the folder of the data, of which this process holds the lock.

        So no other daemon listens there, and a socket that a killed daemon has left is removed. Twisted's own lock, a
        file with a process id, could name an unrelated process.

        :raise Unavailable: it cannot be listened on, for example because the file system has no sockets.
        """
        path = arguments(description)[1]["address"]
        with suppress(OSError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        self.listen(reactor, [f"{description}:lockfile=0"], factory)

    def hand_over(self) -> list[socket.socket]:
        """Accept no connections here: workers do, on these sockets, which stay those of this process."""
        for port in self._ports:
            port.stopReading()  # type: ignore[attr-defined]
        return [port.socket for port in self._ports]  # type: ignore[attr-defined]

    def take_over(
        self, reactor: Any, descriptions: Sequence[str], sockets: Sequence[tuple[int, int]], factory: IProtocolFactory
    ) -> None:
        """Accept on sockets that another process listens on.

        :param sockets: the descriptor and the family of each, in the order of the descriptions.
        """
        for description, (descriptor, family) in zip(descriptions, sockets, strict=True):
            accepted = factory
            if description.startswith("ssl:"):
                from twisted.protocols.tls import TLSMemoryBIOFactory

                certificate = _RenewableCertificate(description, _tls_arguments(description).context)
                self._certificates.append(certificate)
                accepted = TLSMemoryBIOFactory(certificate, False, factory)
            if family == socket.AF_UNIX:
                self._ports.append(inherited_sockets.adopt(descriptor, accepted, reactor))
            else:
                self._ports.append(reactor.adoptStreamPort(descriptor, family, accepted))

    def pause(self) -> None:
        """Accept no more connections; the sockets stay open in the processes that listen on them."""
        for port in self._ports:
            port.stopReading()  # type: ignore[attr-defined]

    def addresses(self) -> list[str]:
        """The addresses that it listens on, as people write them."""
        return [_shown(port) for port in self._ports]

    def renewed(self) -> list[tuple[_RenewableCertificate, Any]]:
        """Read every certificate again, without using it yet.

        :return: what :meth:`use` takes.
        :raise Exception: one cannot be read.
        """
        return [(old, _tls_arguments(old.description).context) for old in self._certificates]

    @staticmethod
    def use(renewed: list[tuple[_RenewableCertificate, Any]]) -> None:
        """Use the certificates that were read for new connections."""
        for certificate, context in renewed:
            certificate.context = context

    def stop(self) -> Deferred[list[None]]:
        """Stop accepting; fires once no port is open any more."""
        ports, self._ports = self._ports, []
        return gatherResults([_stopped(port) for port in ports], consumeErrors=True)

    def _listen(self, reactor: Any, description: str, factory: IProtocolFactory) -> IListeningPort:
        if description.startswith("ssl:"):
            return self._listen_tls(reactor, description, factory)
        found: list[Any] = []
        try:
            endpoint: Any = serverFromString(reactor, _with_backlog(description))
            if isinstance(endpoint, AdoptedStreamServerEndpoint) and endpoint.addressFamily == socket.AF_UNIX:
                return inherited_sockets.adopt(endpoint.fileno, factory, reactor)
            endpoint.listen(factory).addBoth(found.append)
        except LookupError:
            raise Unavailable(f"cannot listen on {description}: {_NOT_GIVEN}") from None
        except (ValueError, OSError) as error:
            raise Unavailable(f"cannot listen on {description}: {error}") from None
        (port,) = found
        if isinstance(port, Failure):
            raise _cannot_listen(description, port.value or OSError())
        return port  # type: ignore[no-any-return]

    def _listen_tls(self, reactor: Any, description: str, factory: IProtocolFactory) -> IListeningPort:
        found = _tls_arguments(description)
        certificate = _RenewableCertificate(description, found.context)
        try:
            port = reactor.listenSSL(found.port, factory, certificate, found.backlog, found.interface)
        except CannotListenError as error:
            raise _cannot_listen(description, error) from None
        self._certificates.append(certificate)
        return port  # type: ignore[no-any-return]


def _with_backlog(description: str) -> str:
    if description.startswith("systemd:") or _SAYS_BACKLOG.search(description):
        return description
    return f"{description}:backlog={BACKLOG}"


def _stopped(port: IListeningPort) -> Deferred[None]:
    stopping = port.stopListening()
    if isinstance(stopping, Deferred):
        return stopping
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done


def _cannot_listen(description: str, error: BaseException) -> Unavailable:
    if isinstance(error, CannotListenError):
        error = error.socketError
    taken = getattr(error, "errno", None) == errno.EADDRINUSE
    return (AddressTaken if taken else Unavailable)(f"cannot listen on {description}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _shown(port: IListeningPort) -> str:
    address: Any = port.getHost()
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", b"")
        return f"unix socket {name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}"
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
