"""What Queuey does, in terms of interfaces: no HTTP above it and no database below it is named here."""
