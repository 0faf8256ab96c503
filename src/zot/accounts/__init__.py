"""Who has an account: users, API keys, stars, and the sessions of browsers."""
