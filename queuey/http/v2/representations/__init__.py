"""How v2 shows messages: as JSON, alone or in pages."""
