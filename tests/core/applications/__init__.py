"""Applications in the store, the keys that sign their URLs, and their rates."""
