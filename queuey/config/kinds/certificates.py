"""Checks that the PEM files of an ssl endpoint load, and belong together, before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from queuey.config.mistakes import Mistake, shown_path


def check(arguments: Mapping[str, str]) -> None:
    """Load what an ssl endpoint names, as Twisted will when it listens.

    :param arguments: of the endpoint; its paths are absolute, and the files can be read.
    :raise Mistake: if they are not what they should be.
    """
    key = arguments["privateKey"]
    certificate = arguments.get("certKey", key)
    pem = Path(certificate).read_bytes() + b"\n" + Path(key).read_bytes()
    files = f"{shown_path(key)} and {shown_path(certificate)}"
    if b"ENCRYPTED" in pem:
        # OpenSSL would ask for the passphrase at the terminal, and wait for it.
        raise Mistake(f"{shown_path(key)} is encrypted, and a daemon has no terminal to type its passphrase")
    try:
        from OpenSSL import SSL
        from twisted.internet import ssl
    except ImportError:
        raise Mistake("ssl endpoints need more to be installed: pip install queuey[tls]") from None
    try:
        loaded = ssl.PrivateCertificate.loadPEM(pem)
    except Exception:  # OpenSSL's own errors, which say little, and Twisted's for an empty file
        raise Mistake(f"{files} are not a key and its certificate in PEM") from None
    try:
        loaded.options().getContext()
    except SSL.Error as error:
        reasons = ", ".join(str(part[-1]) for part in error.args[0])
        raise Mistake(f"{files} are refused by OpenSSL: {reasons}") from None
    _check_chain(arguments.get("extraCertChain"))
    _check_parameters(arguments.get("dhParameters"))


def _check_chain(chain: str | None) -> None:
    from twisted.internet import ssl

    if chain is None:
        return
    begin = b"-----BEGIN CERTIFICATE-----"
    try:
        certificates = Path(chain).read_bytes().split(begin)[1:]
        loaded = [ssl.Certificate.loadPEM(begin + text) for text in certificates]
    except Exception:  # as above
        loaded = []
    if not loaded:
        raise Mistake(f"{shown_path(chain)} has no certificates in PEM")


def _check_parameters(parameters: str | None) -> None:
    if parameters is not None and b"-----BEGIN DH PARAMETERS-----" not in Path(parameters).read_bytes():
        raise Mistake(f"{shown_path(parameters)} has no Diffie-Hellman parameters in PEM")
