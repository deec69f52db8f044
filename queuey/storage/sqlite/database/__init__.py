"""The files of the database: opened, locked, upgraded, measured and copied."""
