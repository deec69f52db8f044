"""The Cassandra store without a server: ``row_tables`` are the tables in memory that most of these tests share."""
