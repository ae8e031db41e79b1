"""Polar: what a customer sees of their wallets."""
