"""Cassandra's consistency levels for the acknowledgements that reads and writes wait for."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.model.applications.policy import Ack
from queuey.storage.cassandra.cluster.port import Level

_ONE_CENTRE: Final = {
    Ack.ONE: (Level.ONE, Level.ONE),
    Ack.MAJORITY: (Level.QUORUM, Level.QUORUM),
    Ack.EVERY_CENTRE: (Level.QUORUM, Level.QUORUM),
}
_SEVERAL: Final = {
    Ack.ONE: (Level.LOCAL_ONE, Level.LOCAL_ONE),
    Ack.MAJORITY: (Level.LOCAL_QUORUM, Level.LOCAL_QUORUM),
    Ack.EVERY_CENTRE: (Level.EACH_QUORUM, Level.LOCAL_QUORUM),
}


@attrs.frozen
class Levels:
    """The levels of a cluster. Writes to all data centres are read in the local one, so no centre waits for another.

    :ivar multi_dc: whether the cluster spans several data centres.
    """

    multi_dc: bool

    def write(self, ack: Ack) -> Level:
        """The level of a write."""
        return (_SEVERAL if self.multi_dc else _ONE_CENTRE)[ack][0]

    def read(self, ack: Ack) -> Level:
        """The level of a read that sees what was written on the same terms."""
        return (_SEVERAL if self.multi_dc else _ONE_CENTRE)[ack][1]
