"""zot: an OCI image registry."""

from importlib.metadata import version

__version__ = version("zot-registry")
