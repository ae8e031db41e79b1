"""Rules: what a wallet API promises beyond its document, each with its source and its exceptions."""
