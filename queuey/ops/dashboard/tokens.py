"""The tokens of the dashboard: those of the settings, and those that the daemon makes for an hour."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from math import inf
from typing import Final

from queuey.model.applications.rights import DashboardToken, Right

HOUR: Final = 3600.0
"""Seconds for which a token of ``dashboard.token`` is valid."""

MAX_MADE: Final = 100
"""Tokens of the daemon's own that are valid at a time; the one that ends first makes room for another."""


class Tokens:
    """All tokens that are valid.

    :param given: those of the settings, as they are now.
    :param seconds: a clock that is never set back.
    :param new_key: makes a text that cannot be guessed.
    """

    def __init__(
        self,
        given: Callable[[], tuple[DashboardToken, ...]],
        seconds: Callable[[], float],
        new_key: Callable[[], str],
    ) -> None:
        self._given = given
        self._seconds = seconds
        self._new_key = new_key
        self._made: dict[bytes, tuple[float, DashboardToken]] = {}

    def make(self, name: str, rights: frozenset[Right], lasts: float = HOUR) -> str:
        """Make a token that is valid for some seconds, at most until the daemon ends.

        :param name: of its holder, for the audit log.
        :return: the token. Only its digest is kept.
        """
        self._forget_old()
        while len(self._made) >= MAX_MADE:
            del self._made[min(self._made, key=lambda digest: self._made[digest][0])]
        text = self._new_key()
        token = DashboardToken(name, rights | {Right.WATCH}, sha256(text.encode()).digest())
        self._made[token.digest] = self._seconds() + lasts, token
        return text

    def find(self, shown: bytes) -> DashboardToken | None:
        """Return the token that a client has sent, if it is valid."""
        digest = sha256(shown).digest()
        made = self._made.get(digest)
        if made is not None:
            return made[1] if self._seconds() < made[0] else None
        # Digests are compared, in a time that does not depend on them; what a client sends cannot steer its own.
        found = [token for token in self._given() if compare_digest(token.digest, digest)]
        return found[0] if found else None

    def is_valid(self, token: DashboardToken) -> bool:
        """Return whether a token that was found still is valid, with the same rights."""
        made = self._made.get(token.digest)
        return self._seconds() < made[0] if made is not None else token in self._given()

    def ends(self, token: DashboardToken) -> float | None:
        """Return the seconds until a token ends, or ``None`` if no time ends it."""
        made = self._made.get(token.digest)
        return None if made is None or made[0] == inf else max(0.0, made[0] - self._seconds())

    def _forget_old(self) -> None:
        now = self._seconds()
        self._made = {digest: made for digest, made in self._made.items() if now < made[0]}
