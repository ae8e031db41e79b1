"""Fixture files from traffic: wallets that others used become wallets of the mock."""
