"""The checks themselves: their processes, their table of capabilities, and the benchmarks."""
