"""The whole store on tables in memory: its tables, its start and its contracts."""
