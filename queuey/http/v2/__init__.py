"""The v2 API: bytes, cursors and retries that are safe, for new clients."""
