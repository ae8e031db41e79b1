"""Reading scenarios: every word of them is known before one starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from contract_tests.contract import Contract
from contract_tests.source import InputError, Pointer, Source
from mock_server import fixture_files
from mock_server.actions import Action
from mock_server.personas import Cast, wallet_ids
from mock_server.scenarios.scenario import Scenario, Step

MOST_TEXT = 1 << 20
_MOST_VALUES = 20_000  # no more than is done in a second or two if all of it is due at once

_WALLET_ID = re.compile(r"wallet_[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Reader:
    """Knows what a scenario can speak of: actions by name, and the served providers' operations and wallets."""

    def __init__(self, actions: Mapping[str, type[Action]], contracts: Mapping[str, Contract], casts: Mapping[str, Cast]) -> None:
        self.actions = actions
        self._contracts = contracts
        self._casts = casts

    @cached_property
    def wallets(self) -> Mapping[str, Mapping[str, str]]:
        """Wallet ids by provider and persona."""
        return {provider: wallet_ids(cast) for provider, cast in self._casts.items()}

    def serves(self, provider: str) -> bool:
        """Whether a provider's calls are such that a scenario can count."""
        return provider in self._contracts

    def read(self, source: Source) -> Scenario:
        """The scenario that a source holds; SourceError names file, line and field."""
        if not isinstance(source.data, dict):
            raise source.error((), "expected a scenario: a mapping with `scenario:`, its name, and `steps:`")
        scenario = fixture_files.parse(source, Scenario)
        provider = scenario.provider
        if provider is not None and provider not in self._contracts:
            raise source.error(("provider",), f"unknown provider {provider!r}{_hint(provider, self._contracts)}")
        providers = list(self._contracts) if provider is None else [provider]
        for number, step in enumerate(scenario.steps):
            self._check(source, ("steps", number), step, providers)
        return scenario

    def _check(self, source: Source, place: Pointer, step: Step, providers: list[str]) -> None:
        operations = [operation for name in providers for operation in self._contracts[name].operations]
        if step.of is not None and step.of not in operations:
            raise source.error((*place, "of"), f"unknown operation {step.of!r}{_hint(step.of, operations)}")
        wallets = {name: wallet for provider in providers for name, wallet in self.wallets[provider].items()}
        wallet = step.wallet
        if wallet is not None and wallet not in wallets and wallet not in wallets.values() and not _WALLET_ID.fullmatch(wallet):
            raise source.error((*place, "wallet"), f"unknown wallet {wallet!r}{_hint(wallet, wallets)}; or give an id")
        listed = isinstance(_at(source.data, (*place, "do")), list)
        for index, action in enumerate(step.do):
            [name] = action
            where: Pointer = (*place, "do", index, name) if listed else (*place, "do", name)
            model = self.actions.get(name)
            if model is None:
                raise source.error(where, f"unknown action {name!r}{_hint(name, self.actions)}")
            if _at(source.data, where) is not None:
                fixture_files.parse(source, model, where)
            elif required := [field for field, about in model.model_fields.items() if about.is_required()]:
                raise source.error(where, f"action {name!r} needs {', '.join(required)}")


def source_of(path: Path, text: str | None = None) -> Source:
    """A file, or a text that errors call so, as data that JSON carries exactly.

    Numbers with a fraction, and those beyond 64 bits, stay as they are written. InputError for what is far too long.
    """
    try:
        size = path.stat().st_size if text is None else len(text)
    except (OSError, ValueError):
        size = 0  # reading says what is wrong
    if size > MOST_TEXT:
        raise InputError(f"{path}: a scenario has at most {MOST_TEXT >> 20} MiB")
    return Source(path, text, number=str, integer=_integer, most_values=_MOST_VALUES)


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= 18 else text


def _at(data: Any, pointer: Pointer) -> Any:
    for step in pointer:
        data = data[step]
    return data


def _hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant; all there is if nothing is near."""
    names = sorted(known)
    near = get_close_matches(name, names)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names)}"
