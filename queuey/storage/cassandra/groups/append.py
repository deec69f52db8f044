"""The steps by which one row of events is appended to the state of a group; pure rules.

====== ================================ ============================ ===================================
step   what is done                     what is learnt               next step
====== ================================ ============================ ===================================
APPEND transact the row, if the version applied                      APPENDED
       is still the one that was seen   refused, or unknown          READ, which brings newer rows too
                                        certainly not applied        FAILED; UNKNOWN if an earlier
                                                                     transaction is not settled
READ   read the head and the rows from  our token is in the row      APPENDED
       the version seen on, serially    the version is as it was     APPEND, a few times; then FAILED
                                        another row is in its place  OVERTAKEN: decide again
                                        the state was removed        ENDED
                                        the row was removed          UNKNOWN
                                        the read fails               UNKNOWN
====== ================================ ============================ ===================================

A refusal is not taken at its word: an earlier attempt of ours may have been applied without an answer, and another node
may have completed a transaction that it then refuses. A serial read decides what is under way, so a transaction that
it does not show is never applied later.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

from queuey.storage.cassandra.groups.tables import ENDED, Seen

MAX_TRIES: Final = 3
"""Transactions for one row at most."""


class Step(Enum):
    """The next step of an append, or its outcome."""

    APPEND = "append"
    READ = "read"
    APPENDED = "appended"
    OVERTAKEN = "overtaken"
    ENDED = "the state was removed"
    UNKNOWN = "unknown"
    FAILED = "failed: certainly not appended"


@attrs.frozen
class Append:
    """One row on its way.

    :ivar seen: the version that was seen; ``None``: there was no state.
    :ivar token: of the row; random, so no other row has it.
    :ivar unsure: whether a transaction was not answered as applied, and no read has settled it since.
    """

    seen: int | None
    token: bytes
    step: Step = Step.APPEND
    tries: int = 0
    unsure: bool = False

    @property
    def number(self) -> int:
        """The number of the row."""
        return (self.seen or 0) + 1

    def answered(self, applied: bool | None) -> Append:
        """Learn how the transaction ended.

        :param applied: ``False``: it was refused. ``None``: its outcome is unknown.
        """
        if applied:
            return attrs.evolve(self, step=Step.APPENDED)
        return attrs.evolve(self, step=Step.READ, tries=self.tries + 1, unsure=True)

    def failed(self) -> Append:
        """Handle a call that failed and certainly made no change. An earlier one may still have made it."""
        return attrs.evolve(self, step=Step.UNKNOWN if self.unsure else Step.FAILED)

    def read(self, found: Seen) -> Append:
        """Learn what is stored."""
        rows = {row.number: row.token for row in found.rows}
        version = None if found.head is None else found.head.version
        if rows.get(self.number) == self.token:
            step = Step.APPENDED
        elif version == ENDED:
            step = Step.ENDED
        elif version == self.seen:
            step = Step.APPEND if self.tries < MAX_TRIES else Step.FAILED
        else:
            step = Step.OVERTAKEN if self.number in rows else Step.UNKNOWN
        return attrs.evolve(self, step=step, unsure=step is Step.UNKNOWN)
