"""Tests in a real browser, which plain `pytest` leaves alone: `pytest tests/browser` runs them."""
