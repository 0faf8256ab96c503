"""The authentication methods, one a module."""
