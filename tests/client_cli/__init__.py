"""Tests of the command ``queuey``, in the process of the tests and in front of a server that is a list of answers."""
