"""Real traffic: exchanges that others sent, read from recordings or seen on their way, and judged like a run's own."""
