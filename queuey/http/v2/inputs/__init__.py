"""What queries, header fields and bodies of v2 requests say: decoded strictly, with all mistakes reported at once."""
