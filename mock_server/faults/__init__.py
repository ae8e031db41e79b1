"""Faults: lawful trouble on demand, such as latency, documented errors, broken connections and rare answers."""
