"""The tests of the Cassandra room that need no server."""
