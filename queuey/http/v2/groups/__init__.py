"""Consumer groups: their settings, claims, settlements, seek and redrive."""
