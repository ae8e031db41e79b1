"""Webhooks: what a provider tells its tenant, signed, in order, and again if nobody took it."""
