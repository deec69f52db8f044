"""Users, signed URLs, and the issuers and verifiers of identities."""
