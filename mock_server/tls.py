"""TLS: what `--tls-cert` and `--tls-key` name, read and checked before anything listens."""

from __future__ import annotations

import ssl
from pathlib import Path

from contract_tests.source import InputError

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


class _Encrypted(Exception):
    """OpenSSL asked for a password."""


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """A server's side of TLS 1.2 and 1.3, None if neither file is given; InputError unless they are a pair of PEM files.

    `certificate` holds the server's certificate first, and whatever leads from it to one that clients trust.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError(f"--tls-cert and --tls-key go together, got only {'--tls-key' if certificate is None else '--tls-cert'}")
    chain = _read("--tls-cert", certificate, _CERTIFICATE)
    _read("--tls-key", key, _KEY)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=chain)  # reads all of them, and trusts none
    except ssl.SSLError:
        raise InputError(f"--tls-cert {certificate}: a certificate in it is broken") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, _ask)
    except _Encrypted:
        raise InputError(
            f"--tls-key {key}: the key is encrypted, and nobody is there to type a password; "
            f"give one that is not (openssl pkey -in {key} -out NEW_FILE)"
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or "").lower().replace("_", " ")
        if "mismatch" in reason:
            raise InputError(f"--tls-key {key}: not the key of the first certificate in {certificate}") from None
        if reason:  # such as "ee key too small"
            raise InputError(f"--tls-cert {certificate}, --tls-key {key}: TLS cannot use them: {reason}") from None
        raise InputError(f"--tls-key {key}: the key in it is broken") from None
    except OSError as error:  # gone since they were read
        raise InputError(f"--tls-cert {certificate}, --tls-key {key}: cannot be read: {error.strerror}") from None
    return context


def _read(option: str, path: Path, sign: str) -> str:
    try:
        text = path.read_text("ascii")
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if sign not in text:
        what = "certificate" if sign is _CERTIFICATE else "private key"
        raise InputError(f"{option} {path}: not a {what} in PEM form: expected a line such as -----BEGIN {what.upper()}-----")
    return text


def _ask() -> str:
    raise _Encrypted
