"""Heads of requests: strict parsing, and a cache of parsed heads with what follows from them."""
