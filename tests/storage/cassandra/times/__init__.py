"""The lease of one front end and the clocks of several."""
