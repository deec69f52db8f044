"""The commands and programs of the documentation and of ``examples``, run as they stand there."""
