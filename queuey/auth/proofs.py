"""Caches proofs for as long as they hold: to ask the issuer at every request would take too long."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from queuey.deferreds import SingleFlight

MOST: Final = 20_000
"""Maximum number of cached proofs, some 10 MiB; the oldest is dropped first."""


@attrs.frozen
class Proof:
    """Proven principals of a user.

    :ivar principals: what was proven.
    :ivar until: when it ends, in seconds since 1970.
    """

    principals: frozenset[str]
    until: float


class Proofs:
    """Remembers what one verifier or issuer has proven, by digests of what was sent: what was sent is nowhere kept."""

    def __init__(self, now: Callable[[], float], most: int = MOST) -> None:
        """
        :param now: the wall clock, in seconds since 1970.
        :param most: how many to remember.
        """
        self._now = now
        self._most = most
        self._known: dict[bytes, Proof] = {}
        self._asked: dict[bytes, SingleFlight[Proof]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def known(self, value: str) -> Proof | None:
        """Return the cached proof of a value, if it is still valid."""
        proof = self._known.get(_digest(value))
        return proof if proof is not None and self._now() < proof.until else None

    def holding(self, value: str, proof: Proof) -> Callable[[], bool]:
        """Return a function that returns whether a proof of a value is still cached and valid."""
        known, now, digest = self._known, self._now, _digest(value)

        def holds() -> bool:
            return known.get(digest) is proof and now() < proof.until

        return holds

    def find(self, value: str, prove: Callable[[], Deferred[Proof]]) -> Deferred[Proof]:
        """Return what a value proves. Concurrent callers with the same value share one call of ``prove``.

        :param prove: asks for the proof; it goes on if its callers are cancelled.
        :return: fails as ``prove`` does; failures are not cached.
        """
        digest = _digest(value)
        proof = self._known.get(digest)
        if proof is not None and self._now() < proof.until:
            return succeed(proof)
        question = self._asked.get(digest)
        if question is not None:
            return question.join()
        question = self._asked[digest] = SingleFlight()
        answer = question.join()
        prove().addBoth(self._answered, digest, question)
        return answer

    def forget(self) -> None:
        """Forget all that was proven so far."""
        self._known.clear()

    def _answered(self, result: Proof | Failure, digest: bytes, question: SingleFlight[Proof]) -> None:
        del self._asked[digest]
        if isinstance(result, Proof):
            self._known.pop(digest, None)
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[digest] = result
        question.answered(result)


def _digest(value: str) -> bytes:
    return sha256(value.encode("utf-8", "surrogateescape")).digest()
