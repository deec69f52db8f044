"""The command ``queuey`` in a shell, in pipes and on a terminal."""
