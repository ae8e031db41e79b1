"""Probes: sequences of requests that judge what no single exchange can show."""
