"""What operators do: backups, copies, upgrades, proxies, units, and the operators' port."""
