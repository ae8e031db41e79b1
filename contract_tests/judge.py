"""From an exchange to findings: the contract's validation and the rules over single exchanges.

The one way to judge an exchange, for the mock, the fuzzer, the gate, and whatever else has exchanges.
"""

from __future__ import annotations

from collections.abc import Callable

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Exchange
from contract_tests.finding import Finding
from contract_tests.plans import AcceptedBodies
from contract_tests.rules import catalogue
from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import ExchangeRule

OF_EACH_ANSWER = frozenset((b"x-request-id", b"content-length", b"date"))
"""Headers of which no rule over single exchanges says anything but that they are there."""

GATEWAY = (413, 429, 503)
"""What stands before a service may answer these, in its own form, whatever the contract says."""

CONFORMANCE = {"response.status", "response.content-type", "response.header", "response.body"}


class Judge:
    """Judges exchanges of one provider."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._rules: list[ExchangeRule] = catalogue.exchange_rules(contract.name)
        self._faultless = AcceptedBodies(2_000)  # with all headers of the request and most of the answer

    def faultless(self, operation: Operation, exchange: Exchange) -> bool:
        """Whether nothing is wrong with an exchange. An exchange that was faultless lately is known by its bytes.

        For the mock, which asks this of every answer: reads of unchanged wallets repeat.
        """
        request, response = exchange.request, exchange.response
        headers = tuple([pair if pair[0] not in OF_EACH_ANSWER else pair[0] for pair in response.headers])
        asked = (request.method, request.path, request.query_string, tuple(request.headers), request.body)
        key = ((operation.key, response.status, headers, asked), response.body)
        if key in self._faultless:
            return True
        if not self._is_faultless(Observation(self.contract, operation, exchange)):
            return False
        self._faultless.add(key)
        return True

    def _is_faultless(self, observation: Observation) -> bool:
        """The same as having no findings, without saying what was looked at."""
        if self.contract.check_response(observation.operation, observation.exchange):
            return not self.findings(observation)  # what stands before a service may answer otherwise
        for entry in self._rules:
            for problem in entry.check(observation):
                if problem is not None:
                    return False
        return True

    def findings(self, observation: Observation, tested: Callable[[str], None] = lambda _: None) -> list[Finding]:
        """Everything wrong with an exchange. `tested` is told the id of every rule that was applied."""
        found = self.contract.check_response(observation.operation, observation.exchange)
        if observation.status in GATEWAY:
            found = [finding for finding in found if observation.is_json and finding.rule != "response.status"]
        if observation.request.method == "HEAD":
            found = [finding for finding in found if finding.rule != "response.body"]  # a HEAD never has one
        for rule_id in CONFORMANCE:
            tested(rule_id)
        for entry in self._rules:
            for problem in entry.check(observation):
                tested(entry.rule.id)
                if problem is not None:
                    found.append(
                        Finding(
                            entry.rule.id,
                            "semantic",
                            observation.operation.id,
                            problem.pointer,
                            problem.problem,
                            problem.expected,
                            problem.got,
                        )
                    )
        return found
