"""What Schemathesis is given: the contract as it shall test it, and its settings."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract_tests.contract import Contract, Operation
from contract_tests.fuzz import bodies
from contract_tests.fuzz.child import CHECK, PHASES
from contract_tests.guard import Mode, is_safe
from contract_tests.references import resolved

_PLAIN_ID = re.compile(r"[\w.:@-]{1,200}")  # nothing that settings could take for anything but a text
_MIX = 0.55  # share of the known ids among those that are tried
_MOST_EXAMPLES = 3

# Where what createWallet answers leads to, for the stateful phase.
_LINKED = ("getWallet", "getWalletBalance", "topUpWallet", "getWalletTransactions", "updateWallet", "terminateWallet")


@dataclass
class Known:
    """Ids for parameters: `wallets` may be read, `own` be changed too, `closing` be closed; `customers` be asked for."""

    wallets: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)

    def of(self, operation: Operation, parameter: dict[str, Any]) -> tuple[str, list[str]]:
        """The name of the dictionary for a parameter and what is in it; empty for parameters that hold no such id."""
        name, where = parameter["name"], parameter["in"]
        of_customers = "/customers/" in operation.path
        if where != "path" and not (where == "query" and (name.lower().endswith("wallet_id") or (of_customers and name == "id"))):
            return "", []
        if not name.lower().endswith("id"):
            return "", []
        if of_customers:
            return "customers", _plain(self.customers)
        if is_safe(operation):
            return "wallets", _plain(self.wallets)
        return ("closing", _plain(self.closing)) if operation.id == "terminateWallet" else ("own", _plain(self.own))


@dataclass(frozen=True)
class Plan:
    """How to fuzz. Without `max_examples` a run uses up `max_time` (seconds), in cycles; with it, it ends by itself."""

    base_url: str
    mode: Mode
    seed: int
    run_id: str
    max_examples: int | None = None
    max_time: int | None = None
    workers: int = 1
    phases: tuple[str, ...] = PHASES


def write(folder: Path, contract: Contract, plan: Plan, known: Known) -> list[str]:
    """Write document and settings; the arguments for Schemathesis's command line."""
    document, settings = folder / "contract.json", folder / "settings.toml"
    document.write_text(json.dumps(tested_document(contract, plan, known)))
    settings.write_text(_settings(contract, plan, known))
    arguments = ["--config-file", str(settings), "run", str(document), "--url", plan.base_url, "--seed", str(plan.seed)]
    arguments += ["--phases", ",".join(plan.phases), "--checks", CHECK, "--workers", str(plan.workers), "--no-color"]
    if plan.max_examples is not None:
        arguments += ["--max-examples", str(plan.max_examples)]
    if plan.max_time is not None:
        arguments += ["--max-time", str(plan.max_time)]
    return arguments


def tested_document(contract: Contract, plan: Plan, known: Known) -> dict[str, Any]:
    """The contract with known ids as examples, links to follow, and without what the mode leaves out.

    It asks for no credentials: they are added where requests leave, and what happens without them is for the probes.
    """
    document: dict[str, Any] = copy.deepcopy(contract.merged)
    document.pop("security", None)
    document.get("components", {}).pop("securitySchemes", None)
    document["servers"] = [{"url": plan.base_url}]
    for operation in contract.operations.values():
        path, method = operation.key
        item = document["paths"][path]
        if plan.mode == "read" and not is_safe(operation):
            del item[method]
            continue
        spec = item[method]
        spec["operationId"] = operation.id
        spec.pop("security", None)
        _add_examples(document, item, spec, operation, known)
        if contract.name == "flexprice":
            _add_bodies(spec, operation, plan)
    document["paths"] = {path: item for path, item in document["paths"].items() if any(m in item for m in _METHODS)}
    _add_links(document, contract)
    return document


_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def _add_examples(
    document: dict[str, Any], item: dict[str, Any], spec: dict[str, Any], operation: Operation, known: Known
) -> None:
    found = {}
    for entry in (*item.get("parameters", ()), *spec.get("parameters", ())):  # the operation's own count for more
        parameter = _own(document, entry)
        found[parameter["in"], parameter["name"]] = parameter
    mine = list(found.values())
    for entry in mine:
        _, ids = known.of(operation, entry)
        if ids:
            entry.pop("example", None)
            entry["examples"] = {f"known{number}": {"value": value} for number, value in enumerate(ids[:_MOST_EXAMPLES])}
    if mine:
        spec["parameters"] = mine


def _add_bodies(spec: dict[str, Any], operation: Operation, plan: Plan) -> None:
    """Examples of bodies, and schemas of bodies that are taken besides those that the document has."""
    media = spec.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return
    if operation.id in (examples := bodies.examples(plan.run_id)):
        media["example"] = examples[operation.id]
    if operation.id in (accepted := bodies.accepted(plan.run_id)):
        media["schema"] = {"anyOf": [accepted[operation.id], media["schema"]]}


def _add_links(document: dict[str, Any], contract: Contract) -> None:
    """Links that documents leave out, from what is created or listed to what can be done with it."""
    for source, pointer, targets in (
        ("createWallet", "/id", _LINKED),
        ("customer_portal:wallets:list", "/items/0/id", ("customer_portal:wallets:get",)),
    ):
        operation = contract.operations.get(source)
        spec = document["paths"].get(operation.key[0], {}).get(operation.key[1]) if operation else None
        if spec is None or "200" not in spec["responses"]:
            continue
        response = _own(document, spec["responses"]["200"])
        links = {
            f"walletproof-{target}": {"operationId": target, "parameters": {"path.id": f"$response.body#{pointer}"}}
            for target in targets
            if target in contract.operations
        }
        spec["responses"]["200"] = {**response, "links": {**response.get("links", {}), **links}}


def _settings(contract: Contract, plan: Plan, known: Known) -> str:
    lines = [
        "continue-on-failure = true",
        "max-redirects = 0",
        "[generation]",
        'database = "none"',
        "with-security-parameters = false",
        "[cache]",
        "enabled = false",
    ]
    used: dict[str, list[str]] = {}
    operations = []
    for operation in contract.operations.values():
        path, method = operation.key
        parameters = contract.merged["paths"][path][method].get("parameters", ())
        for entry in (*contract.merged["paths"][path].get("parameters", ()), *parameters):
            parameter = _own(contract.merged, entry)
            name, ids = known.of(operation, parameter)
            if ids:
                used[name] = ids
                operations.append((operation.id, f"{parameter['in']}.{parameter['name']}", name))
    for name, ids in used.items():
        lines += [f"[dictionaries.{name}]", f"values = {_toml(ids)}"]
    for operation_id, parameter_name, name in operations:
        lines += ["[[operations]]", f"include-operation-id = {_toml(operation_id)}"]
        lines += [f"parameters = {{ {_toml(parameter_name)} = {{ dictionary = {_toml(name)}, probability = {_MIX} }} }}"]
    return "\n".join(lines) + "\n"


def _plain(ids: list[str]) -> list[str]:
    return [name for name in ids if _PLAIN_ID.fullmatch(name)]


def _toml(value: str | list[str]) -> str:
    """A text or a list of texts as TOML, which takes JSON's without surrogates."""
    return json.dumps(value, ensure_ascii=False)


def _own(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A copy of what a reference leads to, or of the node itself."""
    return copy.deepcopy(resolved(document, node))
