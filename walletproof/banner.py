"""What `walletproof serve` says once it is ready: enough to make the first request, on one screen."""

from __future__ import annotations

import ipaddress
import shlex
from itertools import islice
from pathlib import Path
from textwrap import shorten

from mock_server.assembly import Mock, Settings

_SHOWN = 5


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return ipaddress.ip_address(host.split("%", maxsplit=1)[0]).is_loopback


def banner(mock: Mock, settings: Settings, host: str, port: int, certificate: Path | None = None) -> str:
    """The whole text; `certificate` is what https is served with."""
    shown_host = "127.0.0.1" if ipaddress.ip_address(host.split("%", maxsplit=1)[0]).is_unspecified else host
    scheme = "http" if certificate is None else "https"
    base = f"{scheme}://[{shown_host}]:{port}" if ":" in shown_host else f"{scheme}://{shown_host}:{port}"
    send = "curl" if certificate is None else f"curl --cacert {shlex.quote(str(certificate))}"
    lines = [f"Walletproof mock on {base}  (seed {settings.seed}, population {settings.population:,})", ""]
    flexprice, polar = mock.casts.get("flexprice"), mock.casts.get("polar")
    curl = ""
    if flexprice is not None:
        prefix = mock.contracts["flexprice"].base_path
        key = settings.api_keys[0] if settings.api_keys else "test"
        rule = "the given --api-key" if settings.api_keys else "any key; `invalid...` and `expired...` are refused"
        shown_key = "YOUR_KEY" if settings.api_keys else key
        lines += [f"Flexprice  {base}{prefix}  header x-api-key: {shown_key}  ({rule})"]
        for persona in islice(flexprice.personas(), _SHOWN if polar is None else _SHOWN - 2):
            lines.append(_row(persona.name, persona.ids["wallet"], persona.about))
            curl = curl or f"{send} -H 'x-api-key: {shown_key}' {base}{prefix}/wallets/{persona.ids['wallet']}/balance/real-time"
        lines.append("")
    if polar is not None:
        portal = f"{base}/v1/customer-portal/wallets/"
        lines += [f"Polar      {base}  header Authorization: Bearer TOKEN"]
        tokens: dict[str, str] = {}
        for number, persona in enumerate(polar.personas()):
            if number < (_SHOWN if flexprice is None else 2):
                lines.append(_row(persona.name, persona.ids.get("wallet", "-"), persona.about))
            if persona.token:
                tokens.setdefault(persona.name.split(".")[0], persona.token)
            curl = curl or f"{send} -H 'Authorization: Bearer {persona.token}' {portal}"
        lines += [f"  token of {customer:<9} {token}" for customer, token in tokens.items()]
        lines.append("")
    lines += [f"Try: {curl}", ""]
    if settings.defects:
        lines.append(f"Defects:   {', '.join(settings.defects)}")
    lines += [f"Personas:  {base}/_mock/personas    Docs: {base}/_mock/docs    Stop: Ctrl-C"]
    if settings.exposed:
        state = "ask for the control token" if settings.control_token else "are off: no --control-token"
        lines.append(f"Note:      other machines can reach this server; its controls {state}")
    return "\n".join(lines)


def _row(name: str, wallet_id: str, about: str) -> str:
    return f"  {name:<18} {wallet_id}  {shorten(about, 55, placeholder=' ...')}"
