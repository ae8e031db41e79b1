"""A second implementation of both wallet APIs, written from the providers' facts and documents alone."""
