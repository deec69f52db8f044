"""Decodes and checks queries and bodies; all mistakes of a request are reported together."""
