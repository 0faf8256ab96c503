"""The configuration: a model for each section, and loading, checking, completing and reloading it."""
