"""A reverse proxy in front of one service that judges what passes."""
