"""Tests against real nodes of Cassandra, which ``make cassandra`` and ``make cassandra-3.11`` set up below ``bin/``.

``nodes`` starts and breaks clusters; ``shared`` has the one node that most tests of a run use together; ``serve``
starts that node for a command, so that several runs can use it; ``tls`` makes what a node needs to speak TLS.
"""
