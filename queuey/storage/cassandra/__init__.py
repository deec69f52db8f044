"""The store on Apache Cassandra: the same promises, from as many front ends as are wanted."""
