"""Where logs are: in memory, in a file, in a database."""
