"""Pure values and rules: no Twisted, no input or output, no settings."""
