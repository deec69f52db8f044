"""The Python and JavaScript clients, and clients that generators make, before daemons that fail."""
