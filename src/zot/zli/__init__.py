"""zli: asks a registry from the command line."""
