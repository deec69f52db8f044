"""What a claim gets, under which key, from which partitions and in which order."""
