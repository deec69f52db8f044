"""Rules of pushes, without I/O: what may be called, what is sent, and what an answer means."""
