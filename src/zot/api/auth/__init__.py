"""Authentication over HTTP: logins, tokens, API keys, explain."""
