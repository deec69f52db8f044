"""Consumer groups: claims, leases, settlements, dead letters, and the directory of groups."""
