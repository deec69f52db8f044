"""Applications that are managed over the operators' port: where they are stored, how they are cached and changed."""
