"""Consumer groups on a real node and before several front ends."""
