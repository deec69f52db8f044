"""Requests that choose many queues: pages, claims and live reads."""
