"""The pair of AWS credentials that belongs to an application's key: an access key id and a secret.

Only the digest of a key is stored, so the secret is made from the digest. The pair reveals neither the key nor the
digest.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from hashlib import sha256
from typing import Final

import attrs

from queuey.model.applications.application import ID_DIGITS, key_id

_BEGIN: Final = "QK"
_END: Final = "QUEUEY"
"""Access key ids of AWS have 20 capital letters and digits, and some programs check that."""

_ID: Final = re.compile(rf"{_BEGIN}([0-9A-F]{{{ID_DIGITS}}}){_END}", re.ASCII)

_PURPOSE: Final = b"queuey aws secret"
"""Makes this secret differ from everything else that is made from the same digest, such as the key of signed URLs."""

_SECRET: Final = 30
"""Bytes of a secret: 40 characters in Base64, as AWS's have."""


@attrs.frozen
class AwsKey:
    """Credentials as AWS's clients take them.

    :ivar id: the access key id; it is no secret.
    """

    id: str
    secret: str = attrs.field(repr=False)


def aws_key(digest: bytes) -> AwsKey:
    """Return the pair of a key.

    :param digest: the SHA-256 of the key.
    """
    secret = b64encode(hmac.new(digest, _PURPOSE, sha256).digest()[:_SECRET]).decode("ascii")
    return AwsKey(f"{_BEGIN}{key_id(digest).upper()}{_END}", secret)


def key_id_of(access_key_id: str) -> str | None:
    """Return the id of the key that an access key id belongs to; ``None`` if it is not one of ours."""
    match = _ID.fullmatch(access_key_id)
    return None if match is None else match[1].lower()
