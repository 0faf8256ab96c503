"""Accounts: users, API keys, stars, bookmarks, and browser sessions."""
