"""The loss of power, simulated: what was written is recorded, and what may be left of it is opened and checked."""
