"""Consumer groups on Cassandra: events that lightweight transactions append, and snapshots.

The state of a group in a partition of its queue is a row of numbered *rows of events*, in one partition of the table
``group_events``. A lightweight transaction appends a row if its static ``version`` is still the number of the row that
was seen last (``append``). Commands that wait for the same state in one process are gathered into one row (``cells``).
A front end keeps the state as a ``GroupIndex`` and decides on it; if it was overtaken it takes its events back, reads
the newer rows, and decides again. Once the events outweigh it, a snapshot of the state is written, in a partition of
its own of ``group_snapshots`` (``rewriting``, ``snapshots``). So a state is read as its snapshot and the rows after it
(``loading``), which never leads over removed rows.

A state that was removed has the version ``ENDED`` for a day, so that no late transaction makes it again.
"""

from queuey.storage.cassandra.groups.store import CassandraGroups
from queuey.storage.cassandra.groups.tables import GroupTables

__all__ = ["CassandraGroups", "GroupTables"]
