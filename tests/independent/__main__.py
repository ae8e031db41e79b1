"""Makes `python -m independent` start the server."""

from .server import main

main()
