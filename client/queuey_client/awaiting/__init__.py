"""What the faces for asyncio and for Twisted share: coroutines, on a small interface to either loop."""
