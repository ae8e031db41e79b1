"""From exchange to finding: contracts, validation, and everything that judges HTTP traffic. Never imports the mock."""
