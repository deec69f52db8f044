"""The settings, declared one by one on the classes of their sections."""
