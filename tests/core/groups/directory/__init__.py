"""Creating, changing, listing and deleting groups."""
