"""What must hold between sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from zot.config.model import Config


def check(config: Config, compile_condition: Callable[[str], object] | None = None) -> list[str]:
    """Raise ConfigurationError for what cannot work together; return warnings about what can but is odd."""
    del config, compile_condition
    return []
