"""Browser logins at an external provider (OpenID Connect, OAuth 2)."""
