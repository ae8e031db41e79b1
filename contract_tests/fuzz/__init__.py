"""Fuzzing: Schemathesis makes the requests, in a process of its own; our fence lets them out, our judge looks at every answer."""
