"""Many workers, many groups and several processes on one queue."""
