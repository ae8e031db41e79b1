"""The engine of `fuzz`, which is another process, trusts what it is told to trust."""

from __future__ import annotations

from conftest import Mock
from test_tls import command, secure

__all__ = ["secure"]  # a fixture


def test_fuzz_over_tls(secure: Mock) -> None:  # as fixtures are asked for
    """With the certificate in SSL_CERT_FILE a fuzz run passes: the gate's part, and the engine's."""
    options = ["--provider", "polar", "--mode", "read", "--max-examples", "1", "--quiet"]
    done = command("-m", "walletproof", "fuzz", secure.url, *options, trusting=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "operations 2/2" in done.stdout
