"""Applications that stand in the store: how they are kept, what of them is at hand, and how they are changed."""
