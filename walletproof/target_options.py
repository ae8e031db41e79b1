"""What can be said of a target: who asks, and what a run may do to it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from walletproof.units import amount, rate, seconds

if TYPE_CHECKING:
    from contract_tests.checking import Wanted

_MODES = {
    "read": "read: change nothing",
    "own": "own: change only what this run created (default)",
    "all": "all: change anything",
}


def add_safety_options(
    command: argparse.ArgumentParser, *, title: str = "safety", modes: Iterable[str] = tuple(_MODES), max_writes: int
) -> None:
    """What a run may do to a target, and how often."""
    safe = command.add_argument_group(title)
    modes = tuple(modes)
    safe.add_argument("--mode", choices=modes, default="own", help="; ".join(_MODES[mode] for mode in modes))
    safe.add_argument("--allow-host", action="append", default=[], metavar="HOST", help="a host beyond this machine; repeatable")
    writes = f"most writes (default: {max_writes})"
    safe.add_argument("--max-writes", type=int, default=max_writes, metavar="N", help=writes)
    safe.add_argument("--max-amount", default="10000", metavar="N", help="most credits put in, in all (default: 10000)")
    safe.add_argument("--rate", metavar="N/s", help="most requests per second")
    safe.add_argument("--insecure", action="store_true", help="do not verify TLS certificates")


def add_patience_options(group: argparse._ArgumentGroup) -> None:
    """How long a run waits."""
    group.add_argument("--timeout", default="10s", metavar="TIME", help="for one whole answer (default: 10s)")
    group.add_argument(
        "--settle", metavar="TIME", help="how long a read may lag behind a write (default: 2s, on this machine 0s)"
    )


def wanted(options: argparse.Namespace, url: str, *, side: str = "", wallets: Iterable[str]) -> Wanted:
    """What options say of a target. `side` stands in front of the names of those that are its own (`b_`)."""
    from contract_tests.checking import Wanted, header

    def given(name: str) -> Any:
        return getattr(options, f"{side}{name}", None)

    def by_role(kind: str) -> dict[str, str]:
        found = {"main": given(kind), "other": given(f"other_{kind}"), "expired": given(f"expired_{kind}")}
        return {role: str(value) for role, value in found.items() if value}

    return Wanted(
        url=url,
        providers=tuple(options.provider),
        spec=options.spec,
        overlay=options.overlay,
        api_keys=by_role("api_key"),
        bearers=by_role("bearer"),
        headers=tuple(header(text) for text in given("header")),
        auth_file=given("auth"),
        wallets=tuple(wallets),
        customers=tuple(given("customer")),
        seed=options.seed,
        mode=options.mode,
        max_writes=options.max_writes,
        max_amount=amount("--max-amount", options.max_amount),
        rate=rate(options.rate) if options.rate else None,
        timeout=seconds("--timeout", options.timeout),
        settle=seconds("--settle", options.settle) if options.settle else None,
        insecure=options.insecure,
        allow_hosts=tuple(options.allow_host),
    )
