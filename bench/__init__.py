"""Benchmarks: programs that each print what they compared with what."""
