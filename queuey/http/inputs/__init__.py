"""What queries and bodies say: decoded, checked, and with all that is wrong said at once."""
