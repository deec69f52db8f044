"""The only room that knows HTTP and Klein: the door, the routes, and what reads requests and writes answers."""
