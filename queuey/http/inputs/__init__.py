"""Queries and bodies: decoded, and checked with all mistakes said at once."""
