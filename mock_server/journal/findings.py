"""What is wrong with an exchange, as it is shown: without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Response
from contract_tests.finding import Finding
from contract_tests.identity import HIDDEN
from contract_tests.judge import Judge
from contract_tests.redaction import is_secret, redacted_json, redacted_text
from contract_tests.rules.observation import Observation
from mock_server.call import Call
from mock_server.journal.bodies import plain

_LONGEST_DETAIL = 500
_BEGINNING = 8  # of a value that may have been cut


class Judges:
    """Judges exchanges of the providers whose `contracts` it has by name."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._contracts = contracts
        self._judges = {name: Judge(contract) for name, contract in contracts.items()}

    def shown(self, call: Call, response: Response, secrets: frozenset[str]) -> list[dict[str, Any]]:
        """What is wrong with the request, then with the answer."""
        return [_shown(finding, secrets) for finding in self._findings(call, response)]

    def _findings(self, call: Call, response: Response) -> Iterator[Finding]:
        contract = self._contracts[call.provider.name]
        if call.operation is not None:
            yield from contract.check_request(call.operation, call.request)
        operation = call.operation or contract.unrouted
        exchange = Exchange(call.request, response)
        judge = self._judges[call.provider.name]
        if not judge.faultless(operation, exchange):
            yield from judge.findings(Observation(contract, operation, exchange))


def in_short(value: Any, secrets: frozenset[str] = frozenset()) -> str:
    """A JSON value in a few words, without secrets."""
    try:
        text = json.dumps(redacted_json(value, secrets), ensure_ascii=False, default=str)
    except RecursionError:
        return "too deep to be shown"
    return plain(text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}...")


def _shown(finding: Finding, secrets: frozenset[str]) -> dict[str, Any]:
    secret = is_secret(finding.pointer)
    problem = redacted_text(finding.problem, secrets)
    if any(part in problem for part in _hidden(finding.got, secret)):  # a library quotes what it complains about
        problem = "is not as expected; more cannot be said without a secret"
    return {
        "rule": finding.rule,
        "level": finding.level,
        "pointer": plain(redacted_text(finding.pointer, secrets)[:_LONGEST_DETAIL]),
        "problem": plain(problem[:_LONGEST_DETAIL]),
        "expected": None if finding.expected is None else redacted_text(in_short(finding.expected, secrets), secrets),
        "got": HIDDEN if secret and finding.got is not None else _got(finding.got, secrets),
    }


def _got(value: Any, secrets: frozenset[str]) -> str | None:
    return None if value is None else redacted_text(in_short(value, secrets), secrets)


def _hidden(value: Any, secret: bool) -> Iterator[str]:
    """How the secrets begin that a value has under their names; all of it if it is one itself."""
    left = [(value, secret)]
    while left:
        value, secret = left.pop()
        if isinstance(value, dict):
            left += [(item, secret or is_secret(name)) for name, item in value.items()]
        elif isinstance(value, list):
            left += [(item, secret) for item in value]
        elif secret and not isinstance(value, bool | None):
            yield str(value)[:_BEGINNING]
