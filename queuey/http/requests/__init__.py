"""A request and its answer as a handler sees them, and what is counted and reported of them."""
