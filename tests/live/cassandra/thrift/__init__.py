"""The session and the store over Thrift with real nodes of Cassandra 3.11."""
