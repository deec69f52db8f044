"""The rights of operators at the dashboard."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs


class Right(Enum):
    """What a token of the dashboard allows; ``PEEK`` and ``OPERATE`` each include ``WATCH``."""

    WATCH = "watch"
    """To see names and numbers."""

    PEEK = "peek"
    """To see messages."""

    OPERATE = "operate"
    """To make changes."""


ALL_RIGHTS: Final = frozenset(Right)


@attrs.frozen
class DashboardToken:
    """One token of the dashboard.

    :ivar name: of its holder, for the audit log.
    :ivar rights: the rights that the token gives; always including ``WATCH``.
    :ivar digest: the SHA-256 digest of the token.
    """

    name: str
    rights: frozenset[Right]
    digest: bytes = attrs.field(repr=False)
