"""Schemathesis against the mock, which plain `pytest` leaves alone: `pytest tests/engine` runs them."""
