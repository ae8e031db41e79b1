"""The house: which way imports run, and what no tracked file may hold."""

import ast
import re
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("contract_tests", "mock_server", "walletproof")
    for path in (ROOT / package).rglob("*.py")
}


def imports(module: str) -> Iterator[str]:
    """Our own modules that `module` imports, anywhere in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which this test cannot read"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            # The longest beginning that is a module: `from package.module import name` has the name last.
            parts = name.split(".")
            beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            yield from [beginning for beginning in beginnings if beginning in MODULES][:1]


def tracked_files() -> list[Path]:
    """What a clone has."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_imports_run_one_way() -> None:
    """The front door uses the mock, the mock uses the contract half, and never the other way round."""
    order = ["contract_tests", "mock_server", "walletproof"]
    wrong = {
        f"{module} imports {imported}"
        for module in MODULES
        for imported in imports(module)
        if order.index(imported.split(".")[0]) > order.index(module.split(".")[0])
    }

    assert not wrong


def test_the_bottom_imports_nothing_above_it() -> None:
    """Sources, exchanges and findings stand on nothing of ours but each other."""
    bottom = {"contract_tests.source", "contract_tests.exchange", "contract_tests.finding"}

    assert set().union(*(imports(module) for module in bottom)) <= bottom


def test_imports_have_no_cycle() -> None:
    """Every module can be read after the ones that it needs."""
    graph = {module: set(imports(module)) - {module} for module in MODULES}

    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_file_names_a_machine_or_a_registry() -> None:
    """A clone works anywhere: no path of somebody's machine, no address of a package index."""
    private = re.compile(r"(?<![\w.*-])/(work|root|home)/\w|https?://\S*(pypi\b|pythonhosted\b|npmjs\b|/simple/)")
    found = []
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in private.finditer(text)]

    assert not found


def test_no_build_product_is_tracked() -> None:
    """What tools make (wheels, archives, compiled files) stays out of the repository."""
    made = {".whl", ".gz", ".zip", ".tar", ".pyc", ".so", ".exe", ".sqlite", ".db"}

    assert [str(path.relative_to(ROOT)) for path in tracked_files() if path.suffix in made] == []
