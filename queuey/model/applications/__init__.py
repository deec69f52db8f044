"""Applications: their policies, keys and limits, and what a caller may do."""
