"""Histories of consumer groups: what workers, producers and owners did and saw, and what must hold of it."""
