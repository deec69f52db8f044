"""The way to a cluster: one port, whichever protocol a session speaks."""
