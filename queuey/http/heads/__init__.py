"""Heads of requests: read strictly, remembered, and what is known by them."""
