"""One of the two services that are compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract_tests.compare.answers import Aligned
from contract_tests.compare.names import Unnamed
from contract_tests.compare.steps import Step, Symbol, spell
from contract_tests.contract import Operation
from contract_tests.exchange import Exchange
from contract_tests.finding import Finding
from contract_tests.guard import Forbidden, is_safe
from contract_tests.identity import Identity, api_key, bearer
from contract_tests.probes.probe import WRONG_KEY, NotTested, Sent, Stage, Subject
from contract_tests.rules.observation import NO_JSON, Observation


class NotSent(Exception):
    """A step that a side cannot take; says why."""


@dataclass(frozen=True)
class Answer:
    """What a side made of a step: its exchange, and what is wrong with it by contract and rules. `lost`: no whole answer came."""

    sent: Sent
    findings: list[Finding] = field(default_factory=list)
    lost: str = ""

    @property
    def seen(self) -> Observation:
        """The exchange with its bodies read."""
        return self.sent.observation


class Side:
    """A or B: sends steps in its own names. `number` is 0 for A."""

    def __init__(self, name: str, number: int, subject: Subject, started: float) -> None:
        self.name = name
        self.number = number
        self.subject = subject
        self.stage = Stage(subject, "compare", started)
        self.known_customers_only = False
        self.reads: list[tuple[Operation, Exchange, float]] = []  # of wallets that were there before
        main = subject.identities["main"]
        wrong = bearer if any(header == "authorization" for header, _ in main.headers) else api_key
        self._identities = {"main": main, "none": Identity("none"), "wrong": wrong("wrong", WRONG_KEY)}
        if "expired" in subject.identities:
            self._identities["expired"] = subject.identities["expired"]

    def can(self, step: Step) -> str:
        """Why this side cannot take the step; empty if it can."""
        if step.identity not in self._identities:
            return f"needs an expired credential for {self.name}"
        if step.operation and step.operation not in self.subject.contract.operations:
            return f"the document has no operation {step.operation}"
        return ""

    def named(self, symbol: Symbol, aligned: Aligned) -> str:
        """What this side calls a symbol. Names that a run makes up are made up here."""
        if symbol.kind in ("customer", "key", "name") and not aligned.names.has(symbol, self.number):
            customers = self.subject.customers
            if symbol.kind == "customer" and self.known_customers_only and customers:
                name = customers[symbol.number % len(customers)]
            else:
                name = self.stage.unique(symbol.kind)
            aligned.names.give(symbol, self.number, name)
        return aligned.names.name(symbol, self.number)

    def prepare(self, step: Step, aligned: Aligned) -> Callable[[], Answer]:
        """The step in this side's own names, ready to be sent; NotSent if something that it names is not there."""

        def name(symbol: Symbol) -> str:
            return self.named(symbol, aligned)

        try:
            subject = spell(step.subject, name)
            query = [(key, spell(value, name)) for key, value in step.query]
            body = step.body if step.body is NO_JSON else spell(step.body, name)
            headers = [(key, spell(value, name)) for key, value in step.headers]
        except Unnamed as reason:
            raise NotSent(f"{self.name} has no {reason}") from None
        return lambda: self._send(step, subject, query, body, headers)

    def _send(self, step: Step, subject: str | None, query: Any, body: Any, headers: list[tuple[str, str]]) -> Answer:
        stage, identity = self.stage, self._identities[step.identity]
        before, logged = len(stage.found), len(stage.log)
        lost, started = "", time.time()
        try:
            if step.path:
                stage.send("GET", step.path, identity=identity)
            else:
                stage.call(
                    step.operation,
                    subject,
                    query=query,
                    body=body,
                    raw=step.raw,
                    headers=headers,
                    identity=identity,
                    amount=step.amount,
                    invented=step.invented,
                )
        except Forbidden as reason:
            raise NotSent(f"{self.name}: {reason}") from None
        except NotTested as trouble:
            lost = str(trouble)
            if len(stage.log) == logged:
                raise NotSent(lost) from None
        answer = Answer(stage.log[-1], [entry.finding for entry in stage.found[before:]], lost)
        self._remember(step, answer.seen)
        if answer.seen.ok and is_safe(answer.seen.operation) and not self._is_own(answer.seen):
            self.reads.append((answer.seen.operation, answer.seen.exchange, started))
        return answer

    def _is_own(self, seen: Observation) -> bool:
        """Whether a wallet that the run created is asked for, or in the answer."""
        texts = (seen.request.path, seen.request.body.decode("utf-8", "replace"), seen.text)
        return any(own in text for own in self.subject.created for text in texts)

    def _remember(self, step: Step, seen: Observation) -> None:
        """What a creation made is the run's own, and an invoice stays behind."""
        body = seen.body if seen.ok and isinstance(seen.body, dict) else {}
        if step.operation == "createWallet" and isinstance(body.get("id"), str):
            self.subject.guard.own(body["id"])
            self.subject.created[body["id"]] = "active"
        elif step.operation == "terminateWallet" and 200 <= seen.status < 300:
            wallet_id = seen.request.path_params.get("id", "")
            if wallet_id in self.subject.created:
                self.subject.created[wallet_id] = "closed"
        elif step.operation == "topUpWallet":
            rows = body.get("wallet_transaction"), body
            invoices = [row.get("invoice_id") for row in rows if isinstance(row, dict)]
            self.subject.invoices += [invoice for invoice in invoices if isinstance(invoice, str) and invoice]
