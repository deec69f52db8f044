"""Kinds of values in an ini file, and how their texts are read and checked."""
