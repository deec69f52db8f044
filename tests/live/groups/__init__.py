"""Consumer groups of a daemon: crowds of workers, and histories with faults."""
