"""Defects: contract violations of the mock that can be switched on by name.

They prove that the contract tests bite, they harden clients, and some (`live`) imitate what a real service does against
its own document. The mock itself stays honest underneath: a defect changes the request before it is routed, the events
before they are booked, or the answer after it was checked.
"""
