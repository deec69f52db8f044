"""The queues of all front ends: their rows and their names."""
