"""Probes of Polar: reading only, as the customer portal has nothing else."""

from __future__ import annotations

from contract_tests.probes.polar import access, identities, mistakes, oddities, pages, parallel, parameters, reading, routes
from contract_tests.probes.polar.asking import discover

MODULES = (pages, parameters, reading, mistakes, routes, access, identities, oddities, parallel)
"""In the order in which they run."""

__all__ = ["MODULES", "discover"]
