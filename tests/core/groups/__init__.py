"""Consumer groups: settlements, seek, lag, states of earlier versions, and unexpected errors of the store."""
