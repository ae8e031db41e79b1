"""Scenarios: stories told in steps, each after so many calls or so much time."""
