"""TLS to the nodes of a cluster, by Twisted. It is imported only if TLS is asked for, since pyOpenSSL is optional."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from OpenSSL.SSL import Connection, Error
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    VerificationError,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from queuey.storage.cassandra.cluster.port import AccessRefused
from queuey.storage.cassandra.cluster.settings import Check, TLSSettings

ERRORS = (Error, VerificationError)
"""The error that a connection ends with if the TLS handshake fails."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

Creators = Callable[[str], IOpenSSLClientConnectionCreator]
"""Makes what speaks TLS to the node at an address."""


def creators(settings: TLSSettings) -> Creators:
    """Read the files.

    :raise AccessRefused: they cannot be used.
    """
    try:
        own, chain = _own(settings)
        trust = _trust(settings.authorities)
        any_address = _AnyAddress(
            CertificateOptions(
                privateKey=None if own is None else own.privateKey.original,
                certificate=None if own is None else own.original,
                extraCertChain=chain or None,
                trustRoot=trust if settings.check is Check.AUTHORITY else None,
            )
        )
    except (OSError, ValueError, Error, crypto.Error, VerifyError) as error:
        raise AccessRefused(f"The certificates for Cassandra cannot be used: {error}") from error
    if settings.check is not Check.ADDRESS:
        return lambda address: any_address
    extra = {"extraCertChain": chain} if chain else {}
    return lambda address: optionsForClientTLS(address, trust, own, extraCertificateOptions=extra)


@implementer(IOpenSSLClientConnectionCreator)
class _AnyAddress:
    """Speaks TLS without a look at the name in the certificate."""

    def __init__(self, options: CertificateOptions) -> None:
        self._context = options.getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """See IOpenSSLClientConnectionCreator."""
        return Connection(self._context, None)


def _own(settings: TLSSettings) -> tuple[PrivateCertificate | None, list[crypto.X509]]:
    if settings.certificate is None:
        return None, []
    text = settings.certificate.read_bytes()
    first, *others = _certificates(settings.certificate, text)
    key_file = settings.key or settings.certificate
    try:
        key = KeyPair.load(key_file.read_bytes(), crypto.FILETYPE_PEM)
    except crypto.Error:
        raise ValueError(f"there is no key without a password in {key_file}") from None
    return PrivateCertificate.fromCertificateAndKeyPair(first, key), [other.original for other in others]


def _trust(path: Path | None) -> Any:
    return platformTrust() if path is None else trustRootFromCertificates(_certificates(path, path.read_bytes()))


def _certificates(path: Path, text: bytes) -> list[Certificate]:
    try:
        found = [Certificate.loadPEM(one) for one in _PEM.findall(text)]
    except crypto.Error:
        found = []
    if not found:
        raise ValueError(f"there is no certificate in {path}")
    return found
