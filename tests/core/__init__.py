"""The core: applications, queues, reads, waits and consumer groups over a store, without HTTP."""
