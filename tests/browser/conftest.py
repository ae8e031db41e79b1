"""Keeps these tests out of a plain `pytest`: they need a browser. Named (`pytest tests/browser`), they run."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is in here, unless the command line names it."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    if any(path == HERE or HERE in path.parents for path in named):
        return None
    return True if HERE in collection_path.parents else None
