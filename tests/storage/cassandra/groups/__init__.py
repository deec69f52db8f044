"""States of consumer groups: transactions that get lost, snapshots, conversions, outages."""
