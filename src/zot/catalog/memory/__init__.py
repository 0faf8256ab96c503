"""The catalog in dictionaries: for tests, and the model that the other drivers are compared with."""
