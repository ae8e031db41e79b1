"""The front door: the command line that composes the mock server and the contract tests."""
