"""From what a user asks for to subjects that can be tested: hosts allowed, contracts loaded, credentials found."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from contract_tests import shipped, source
from contract_tests.auth_file import read_auth_file
from contract_tests.contract import Contract
from contract_tests.exchange import Request
from contract_tests.guard import Guard, Mode, check_host, is_loopback
from contract_tests.identity import Identity, api_key, bearer
from contract_tests.judge import Judge
from contract_tests.probes.probe import Subject
from contract_tests.rules.rule import PROVIDERS
from contract_tests.source import InputError, data_folder
from contract_tests.target import Target, Trouble

_ROLES = ("main", "other", "expired")
_CREDENTIAL_HEADER = re.compile(r"authorization|cookie|token|secret|passw|credential|api-?key|signature")
_OWN_HEADER = {"flexprice": "x-api-key", "polar": "authorization"}
_TROUBLE_OF_ALL = ("unreachable", "tls", "timeout")


@dataclass(frozen=True)
class Wanted:
    """What a user asks for. `api_keys` and `bearers` are by role: main, other, expired. Times are in seconds."""

    url: str
    providers: tuple[str, ...] = ()
    spec: Path | None = None
    overlay: Path | None = None
    api_keys: dict[str, str] = field(default_factory=dict, repr=False)
    bearers: dict[str, str] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    auth_file: Path | None = None
    wallets: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    seed: int = 1
    mode: Mode = "own"
    max_writes: int = 500
    max_amount: Decimal = Decimal(10_000)
    rate: float | None = None
    timeout: float = 10.0
    settle: float | None = None
    insecure: bool = False
    allow_hosts: tuple[str, ...] = ()


def subjects(wanted: Wanted, environment: Mapping[str, str] = os.environ) -> list[Subject]:
    """One subject for each provider; InputError for whatever the user must put right. Sends nothing, except to a mock.

    Without credentials and on this machine, the target is asked whether it is our mock: that one tells its own.
    """
    check_host(wanted.url, wanted.allow_hosts)
    wanted = with_environment(wanted, environment)
    host = urlsplit(wanted.url).hostname or ""
    if wanted.max_writes < 0:
        raise InputError(f"--max-writes {wanted.max_writes}: expected a number that is not negative")
    given = wanted.api_keys or wanted.bearers or wanted.auth_file or any(_is_credential(name) for name, _ in wanted.headers)
    personas = _personas(wanted) if not given and is_loopback(host) else None
    names = _providers(wanted, personas)
    result = []
    for name in names:
        promised = contract(name, wanted.spec, wanted.overlay)
        identities, wallets, customers = _identities(name, wanted, promised, personas)
        for identity in identities.values():
            _must_be_sendable(identity)
        more = identities["more"].headers if "more" in identities else ()
        lag = wanted.settle if wanted.settle is not None else 0.0 if is_loopback(host) else 2.0
        result.append(
            Subject(
                promised,
                Target(
                    wanted.url,
                    promised.base_path,
                    timeout=wanted.timeout,
                    rate=wanted.rate,
                    insecure=wanted.insecure,
                    headers=(*((n, v) for n, v in wanted.headers if not _is_credential(n)), *more),
                ),
                Guard(wanted.mode, max_writes=wanted.max_writes, max_amount=wanted.max_amount),
                Judge(promised),
                identities,
                wanted.seed,
                secrets.token_hex(4),
                [*wanted.wallets, *wallets],
                [*wanted.customers, *customers],
                lag,
            )
        )
    return result


def with_environment(wanted: Wanted, environment: Iterable[tuple[str, str]] | Mapping[str, str]) -> Wanted:
    """Credentials that were not given are taken from WALLETPROOF_API_KEY, WALLETPROOF_OTHER_BEARER and so on."""
    values = dict(environment)
    keys, tokens = dict(wanted.api_keys), dict(wanted.bearers)
    for role in _ROLES:
        for kind, found in (("API_KEY", keys), ("BEARER", tokens)):
            value = values.get(variable(role, kind), "")
            if value:
                found.setdefault(role, value)
    return Wanted(**{**wanted.__dict__, "api_keys": keys, "bearers": tokens})


def variable(role: str, kind: str) -> str:
    """The environment variable of a credential: WALLETPROOF_API_KEY, WALLETPROOF_OTHER_API_KEY, ..."""
    return f"WALLETPROOF_{'' if role == 'main' else role.upper() + '_'}{kind}"


def read_wallets(path: Path) -> tuple[str, ...]:
    """Wallet ids from a file: one per line (`#` begins a comment), or a JSON array of texts."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if text.lstrip().startswith("["):
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}") from None
        if not all(isinstance(entry, str) for entry in data):
            raise InputError(f"{path}: expected an array of wallet ids as texts")
        return tuple(data)
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def header(text: str) -> tuple[str, str]:
    """`Name: value` as a pair; InputError if it is none."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()) or not _SENDABLE.fullmatch(value.strip()):
        raise InputError("--header: expected 'Name: value'")  # the value may be a secret
    return name.strip().lower(), value.strip()


_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _must_be_sendable(identity: Identity) -> None:
    for name, value in identity.headers:
        if not _SENDABLE.fullmatch(value):
            raise InputError(f"the credential {name} ({identity.name}) holds characters that no HTTP header can have")


def _is_credential(name: str) -> bool:
    return _CREDENTIAL_HEADER.search(name.lower()) is not None


@cache
def contract(name: str, spec: Path | None = None, overlay: Path | None = None) -> Contract:
    """A provider's contract as it is shipped, or with a document or an overlay of somebody's own."""
    folder = data_folder(source.__file__, "openapi")
    overlays = [] if overlay is None else [overlay]
    if name in PROVIDERS and (overlay is None or shipped.is_extended(name, overlay)):
        overlays.insert(0, folder / f"{name}.overlay.yaml")
    return Contract.load(name, spec or folder / f"{name}.yaml", *overlays)


def provider_names(asked: tuple[str, ...], spec: Path | None, overlay: Path | None) -> tuple[str, ...]:
    """The providers that are asked for; none if nothing is."""
    for name in asked:
        if name not in PROVIDERS:
            raise InputError(
                f"unknown provider {name!r}; there are {', '.join(PROVIDERS)} (for another document use --spec alone)"
            )
    file = spec or overlay
    if file is None:
        return tuple(dict.fromkeys(asked))
    if len(asked) > 1:
        raise InputError("--spec and --overlay replace the files of one provider: say which with one --provider")
    if asked:
        return asked
    name = file.stem.partition(".")[0]
    if spec is None and name not in PROVIDERS:
        raise InputError(f"--overlay {file}: say whose overlay it is, with --provider")
    return (name,)


def _providers(wanted: Wanted, personas: list[dict[str, object]] | None) -> tuple[str, ...]:
    asked = provider_names(wanted.providers, wanted.spec, wanted.overlay)
    if asked:
        return asked
    if personas is not None:
        return tuple(name for name in PROVIDERS if any(persona["provider"] == name for persona in personas))
    names = {name for name, _ in wanted.headers}
    found = []
    if wanted.api_keys or "x-api-key" in names:
        found.append("flexprice")
    if wanted.bearers or "authorization" in names:
        found.append("polar")
    if not found:
        raise InputError("say what to test: --provider flexprice or --provider polar, with --api-key or --bearer")
    return tuple(found)


def _identities(
    name: str, wanted: Wanted, contract: Contract, personas: list[dict[str, object]] | None
) -> tuple[dict[str, Identity], list[str], list[str]]:
    """Who sends requests, and wallets and customers that are known from the mock."""
    own = tuple((n, v) for n, v in wanted.headers if _is_credential(n))
    if wanted.auth_file:
        with httpx.Client(timeout=wanted.timeout, verify=not wanted.insecure) as http:
            return read_auth_file(wanted.auth_file, wanted.url, http), [], []
    if personas is not None and name in PROVIDERS:
        return _of_mock(name, [persona for persona in personas if persona["provider"] == name])
    make, values, kind = _kind(name, wanted)
    identities = {role: make(role, value.strip(), variable(role, kind)) for role, value in values.items()}
    if "main" in identities and _OWN_HEADER.get(name, name) not in dict(own):
        # The credential is there already: these are for whatever stands before the service, whoever asks.
        if own:
            identities["more"] = Identity("more", own, "WALLETPROOF_CREDENTIAL")
    elif own:
        identities["main"] = Identity("main", own, "WALLETPROOF_CREDENTIAL")
    if "main" not in identities and personas is not None:
        identities["main"] = Identity("main")  # our mock asks nothing for its own controls
    if "main" not in identities:
        schemes = contract.merged.get("components", {}).get("securitySchemes", {})
        if any(operation.secured for operation in contract.operations.values()):
            flag = "--bearer TOKEN" if name == "polar" else "--api-key KEY"
            raise InputError(f"{name} asks for credentials ({', '.join(schemes)}): give {flag} or set {variable('main', kind)}")
        identities["main"] = Identity("main")
    return identities, [], []


def _kind(name: str, wanted: Wanted) -> tuple[Callable[[str, str, str], Identity], dict[str, str], str]:
    """How a provider is authenticated. Documents of others take whichever credential was given."""
    if name == "polar" or (name not in PROVIDERS and wanted.bearers):
        return bearer, wanted.bearers, "BEARER"
    return api_key, wanted.api_keys, "API_KEY"


def _personas(wanted: Wanted) -> list[dict[str, object]] | None:
    """The personas, if the target is our mock."""
    parts = urlsplit(wanted.url)
    target = Target(f"{parts.scheme}://{parts.netloc}", timeout=wanted.timeout, insecure=wanted.insecure)
    try:
        answer = target.send(Request("GET", "/_mock/personas"), Identity("none")).response
        found = json.loads(answer.body)["personas"]
    except Trouble as trouble:
        if trouble.kind in _TROUBLE_OF_ALL:
            raise InputError(str(trouble)) from None
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    finally:
        target.close()
    ours = isinstance(found, list) and all(isinstance(entry, dict) and {"provider", "name"} <= entry.keys() for entry in found)
    return found if ours else None


def _of_mock(name: str, personas: list[dict[str, object]]) -> tuple[dict[str, Identity], list[str], list[str]]:
    """The mock's own credentials: any key will do, and each Polar customer has a token."""
    wallets, customers = [], []
    tokens: dict[str, list[str]] = {}
    for persona in personas:
        ids = persona.get("ids")
        customer = str(persona["name"]).partition(".")[0]
        if isinstance(ids, dict) and persona.get("token"):
            tokens.setdefault(customer, [str(persona["token"])]).append(str(ids.get("wallet")))
        elif isinstance(ids, dict):
            wallets.append(str(ids["wallet"]))
            if persona["name"] == "new":
                customers.append(str(ids["customer"]))
    if name == "flexprice":
        keys = {"main": "any-key-will-do", "expired": "expired-key"}
        return {role: api_key(role, key) for role, key in keys.items()}, wallets, customers
    lapsed = tokens.pop("lapsed", None)
    tokens.pop("employee", None)
    most = sorted(tokens.values(), key=len, reverse=True)
    if not most:
        raise InputError("the mock has no Polar customer with a token: give --bearer TOKEN, or personas to its fixtures")
    chosen = {role: entry[0] for role, entry in zip(("main", "other"), most, strict=False)}
    chosen |= {"expired": lapsed[0]} if lapsed else {}
    return {role: bearer(role, token, variable(role, "BEARER")) for role, token in chosen.items()}, most[0][1:], []
