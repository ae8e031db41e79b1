"""Probes of Flexprice."""
