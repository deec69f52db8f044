"""The API description and the programs of the pages about the v2 API, against a daemon."""
