"""The same sequence on two services: what differs between a mock and the real one, and how much does not."""
