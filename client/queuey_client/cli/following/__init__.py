"""Messages as they come, of one queue or of many, for ``queuey tail``."""
