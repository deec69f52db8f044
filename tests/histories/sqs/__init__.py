"""Histories of FIFO queues of SQS: what producers and workers did and saw, and what must hold of it."""
