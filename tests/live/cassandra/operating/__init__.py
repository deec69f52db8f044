"""What operators do with a cluster: alerts, commands, and a copy from SQLite."""
