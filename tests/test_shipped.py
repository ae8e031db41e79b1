"""The shipped documents are known by their digests, so that a start need not check them again; everything else is checked."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract_tests import shipped
from contract_tests.contract import Contract
from contract_tests.plans import Planner
from contract_tests.source import Source, SourceError
from contract_tests.validation import FORMATS

OPENAPI = Path(__file__).parent.parent / "openapi"

# What servers and gates load: see `assembly` and `checking`.
LOADED = [
    ("control.yaml",),
    ("flexprice.yaml", "flexprice.overlay.yaml"),
    ("flexprice.yaml", "flexprice.overlay.yaml", "flexprice.undocumented.overlay.yaml"),
    ("polar.yaml", "polar.overlay.yaml"),
]


@pytest.mark.parametrize("names", LOADED, ids="+".join)
def test_what_is_shipped_is_known_and_good(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has changed would be checked at every start, and one that is broken must not be known."""
    paths = [OPENAPI / name for name in names]
    monkeypatch.setattr(shipped, "_KNOWN", frozenset())
    Contract.load("any", *paths)  # raises if anything is wrong

    assert shipped.CHECKED.get(names) == shipped.digest(map(Source, paths)), "put this digest into contract_tests/shipped.py"


def test_nothing_else_is_known() -> None:
    """A digest that no file has would be one that nobody checks."""
    assert set(shipped.CHECKED) == set(LOADED)


def test_a_shipped_document_that_was_changed_is_checked(tmp_path: Path) -> None:
    """Known is the text, not the name: a copy with a broken reference is refused, with its line."""
    changed = tmp_path / "flexprice.yaml"
    text = (OPENAPI / "flexprice.yaml").read_text("utf-8")
    changed.write_text(text.replace("$ref: '#/components/schemas/", "$ref: '#/components/schema/", 1), "utf-8")
    assert changed.read_text("utf-8") != text

    with pytest.raises(SourceError, match=r"flexprice\.yaml:\d+: .*leads nowhere"):
        Contract.load("flexprice", changed, OPENAPI / "flexprice.overlay.yaml")


def test_an_overlay_that_was_changed_is_checked_with_its_document(tmp_path: Path) -> None:
    """A good document under a bad overlay is not known."""
    overlay = tmp_path / "flexprice.overlay.yaml"
    text = (OPENAPI / "flexprice.overlay.yaml").read_text("utf-8")
    overlay.write_text(f"{text}\n  - target: $.info\n    update: {{title: 5}}\n", "utf-8")

    with pytest.raises(SourceError, match="is not valid OpenAPI"):
        Contract.load("flexprice", OPENAPI / "flexprice.yaml", overlay)


@pytest.mark.parametrize("names", LOADED, ids="+".join)
def test_what_is_shipped_has_plans(names: tuple[str, ...]) -> None:
    """Without a plan everything is judged all the same, a hundred times slower: a reference that is lost would go unnoticed."""
    contract = Contract.load(names[0].removesuffix(".yaml"), *(OPENAPI / name for name in names))
    planner = Planner(contract.merged, FORMATS)
    unplanned = set()
    for operation in contract.operations.values():
        path, method = operation.key
        item = contract.merged["paths"][path]
        if planner.request_plan(item, item[method]) is None:
            unplanned.add("request")
        answers = item[method]["responses"]
        statuses = [status for status in answers if status.isdigit()]
        unplanned |= {status for status in statuses if planner.response_plan(item[method], int(status)) is None}

    # Polar's own 500 has no JSON, and the page of the control's documentation is none.
    assert unplanned <= {"polar": {"500"}, "control": {"200"}}.get(contract.name, set())


def test_a_start_imports_nothing_that_it_does_not_use() -> None:
    """Each of these libraries takes a twentieth of a start and more; one careless import would bring it back."""
    program = """
import sys
from mock_server.assembly import assemble
from contract_tests.contract import Contract
from contract_tests.plans import Planner
from pathlib import Path
Contract.load("flexprice", *map(Path, sys.argv[1:]))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    paths = [str(OPENAPI / name) for name in LOADED[1]]
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)

    unused = {"faker", "httpx", "openapi_core", "openapi_spec_validator", "pydantic_settings", "requests", "rich", "schemathesis"}
    assert unused & set(done.stdout.split()) == set()


def test_connexion_can_still_use_what_was_not_imported() -> None:
    """The stand-ins give way to the real modules, for Connexion and for everybody else."""
    program = """
import mock_server.connexion_parts
import connexion.json_schema, connexion.security, connexion.apps.abstract
import httpx, requests
from starlette.testclient import TestClient
assert connexion.security.httpx.AsyncClient is httpx.AsyncClient
assert connexion.json_schema.requests.get is requests.get
app = mock_server.connexion_parts.AsyncApp("mock_server")
assert isinstance(app.test_client(), TestClient)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
