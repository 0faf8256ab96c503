"""The one-sentence error messages of failed commands."""

from __future__ import annotations

import click


def sentence(error: Exception) -> str | None:
    """Return an error's message for the operator; None for a bug, and for errors that click prints."""
    if isinstance(error, click.ClickException | BrokenPipeError):
        return None
    if isinstance(error, OSError):
        return _of_system(error)
    return str(error) if isinstance(error, _expected()) else None


def _of_system(error: OSError) -> str:
    # Imported here, as most commands do not fail.
    from zot.storage.os_errors import as_storage_error

    message = str(as_storage_error(error, "do this"))
    return message.removeprefix("cannot do this: ")


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors with a cause outside the program: its files, stores and servers."""
    from zot.accounts.interface import AccountsUnavailableError
    from zot.accounts.sessions.interface import SessionsUnavailableError
    from zot.admin.requests import AdminError
    from zot.catalog.interface import CatalogError
    from zot.config.errors import ConfigurationError
    from zot.statistics.interface import StatisticsUnavailableError
    from zot.storage.interface import StorageError

    return (
        AccountsUnavailableError,
        SessionsUnavailableError,
        StatisticsUnavailableError,
        CatalogError,
        ConfigurationError,
        StorageError,
        AdminError,
    )
