"""What commands take: bodies of messages, settings as ``KEY=VALUE``, durations and times."""
