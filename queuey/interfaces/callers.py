"""Callers and their rights, and the policies of applications."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Interface

from queuey.model.applications.policy import Policy
from queuey.model.applications.signing import Grant
from queuey.model.values import frozen


@attrs.frozen
class Credential:
    """One scheme and value of an Authorization header; the scheme is in lower case. The value is never logged.

    :ivar application: the application that it was sent to.
    :ivar address: the address of the client.
    """

    scheme: str
    value: str = attrs.field(repr=False)
    application: str = ""
    address: str = ""


@attrs.frozen
class Lasting:
    """Proof of a credential for an application, from any address, as long as the policy is the same object.

    :ivar again: is called when the credential is shown again and only looked up in a cache; returns whether it still
        proves the same.
    :ivar until: when it has to be proven again, in seconds since 1970; infinity if that is never.
    """

    principals: frozenset[str]
    again: Callable[[], bool]
    until: float = inf


class IAuthenticator(Interface):
    """Finds out who a caller is."""

    def authenticate(credential: Credential) -> Deferred[frozenset[str]]:
        """Find the principals that a credential proves.

        :return: fires with them; with an empty set if the credential is of another kind. Fails with ``BadCredentials``
            if it is of this kind and wrong, and with ``Unavailable`` if that cannot be found out now.
        """

    def lasting(credential: Credential) -> Lasting | None:
        """Return what a credential proves, if it is known without asking and holds until the application or its keys
        change; ``None`` if ``authenticate`` has to be called."""


@attrs.frozen
class Accepted:
    """The credentials that one application takes.

    :ivar challenge: their schemes, as ``WWW-Authenticate`` names them.
    """

    authenticator: IAuthenticator
    challenge: bytes


@attrs.frozen
class Signature:
    """The signed part of a URL.

    :ivar grant: what the URL says that it was signed for.
    :ivar key: the name of the key that it says it was signed with.
    :ivar value: the signature; anyone who has it can use the URL.
    """

    grant: Grant
    key: str
    value: str = attrs.field(repr=False)


class ISignatures(Interface):
    """Finds out what a signed URL allows."""

    def check(signature: Signature, again: bool = False) -> Deferred[frozenset[str]]:
        """Find the principals that a signature proves; see ``model.access.by_url``.

        :param again: whether this use was checked before, so that it is not counted twice.
        :return: fires with them. Fails with ``BadIdentity`` if the signature is wrong or has expired, with
            ``TooManyRequests`` if the URL is used more often than it was signed for, and with ``Unavailable`` if that
            cannot be found out now.
        """


@frozen
class AwsRequest:
    """The parts of a request that an AWS client signs.

    :ivar path: as it was sent; ``query`` likewise, without the question mark.
    :ivar fields: the values of the header fields, by their names in lower case.
    """

    method: bytes
    path: bytes
    query: bytes
    fields: Mapping[bytes, Sequence[bytes]] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


@frozen
class AwsSigner:
    """The signer of a request.

    :ivar access_key_id: of its key.
    :ivar digest: the SHA-256 of its key.
    :ivar region: that it named; every region is accepted.
    """

    application: str
    access_key_id: str
    digest: bytes = attrs.field(repr=False)
    region: str


class IAwsSignatures(Interface):
    """Finds out which application has signed a request by Signature Version 4."""

    def check_head(request: AwsRequest) -> None:
        """Check what can be checked before the body is there.

        :raise BadSignature: with the reason.
        """

    def check(request: AwsRequest) -> Deferred[AwsSigner]:
        """Find the signer of a request.

        :return: fires with the signer. Fails with ``BadSignature`` if the signature is missing, false or too old, and
            with ``Unavailable`` if that cannot be found out now.
        """

    def holds(signer: AwsSigner) -> Deferred[bool]:
        """Find out whether the key of a signer is still one of its application's. Fails with ``Unavailable``."""


class IPolicies(Interface):
    """The policies of applications."""

    def policy_for(application: str) -> Deferred[Policy]:
        """Find the policy of an application, as it is in force now.

        Policies are replaced and never mutated: it is the same object until the application or its keys change.

        :return: fires with the policy. Fails with ``NoSuchApplication`` or ``Unavailable``.
        """

    def cached(application: str) -> Policy | None:
        """Return a cached policy; ``None`` if ``policy_for`` has to be called, or if there is no such application."""
