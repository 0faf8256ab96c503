"""Logins in the browser, at a provider that people already use (OpenID Connect, OAuth 2)."""
