"""Tests of the traces that are exported."""
