"""Speed, start, memory and reset of the mock, side by side with other mock servers: `make bench`, `make bench-peers`."""
