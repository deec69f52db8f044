"""Work on the whole store: sweeps, checks, backups and copies."""
