"""The registry in memory of the maintenance tests, for operators' requests, too."""

from maintenance.conftest import site

__all__ = ["site"]
