"""The configuration: one model file a section, and what is done with a configuration file."""
