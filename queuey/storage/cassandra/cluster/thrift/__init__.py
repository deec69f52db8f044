"""The session over Thrift, for clusters up to 3.11."""
