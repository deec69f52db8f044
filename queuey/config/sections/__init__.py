"""From the sections of an ini file to settings."""
