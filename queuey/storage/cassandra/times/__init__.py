"""The times of a front end: its ids, and how far its readers see."""
