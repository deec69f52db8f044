"""The logic of Queuey in terms of interfaces, without HTTP and without databases."""
