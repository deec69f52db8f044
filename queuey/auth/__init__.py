"""Ways of finding out who a caller is."""
