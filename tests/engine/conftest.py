"""How long the long tests take: `make test-engine ARGS="--seeds 50"`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many seeds two equal mocks are compared with."""
    parser.addoption("--seeds", type=int, default=6, metavar="N", help="compare equal mocks with N seeds (default: 6)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each seed."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(1, metafunc.config.getoption("--seeds") + 1))
