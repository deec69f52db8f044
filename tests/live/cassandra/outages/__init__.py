"""Nodes and front ends that fail under load, and what clients saw of it."""
