"""Users whom an OpenID Connect issuer vouches for, by JSON web tokens (RFC 7519)."""
