"""Flexprice: prepaid and postpaid credit wallets."""
