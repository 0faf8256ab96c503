"""One server for all tests of a module, as for the tests of the processes."""

from processes.conftest import server

__all__ = ["server"]
