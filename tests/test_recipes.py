"""The guide and the recipes are true: every command in docs/testing.md and docs/recipes runs as it stands.

Only what stands for somebody's own things is put in its place: the address of staging, its secrets, a port, how long to fuzz.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Mock

from contract_tests.policy import Accepted, Floor, Policy, read_policy
from contract_tests.probes import catalogue
from contract_tests.results import from_json
from mock_server.defects.catalogue import find
from walletproof.cli import _parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDE = (DOCS / "testing.md").read_text(encoding="utf-8")
RECIPES = DOCS / "recipes"


Done = subprocess.CompletedProcess[str]


def blocks(language: str) -> list[str]:
    """The guide's fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


COMMANDS = [block for block in blocks("sh") if "walletproof prove" not in block]


def tokens(mock: Mock) -> dict[str, str]:
    """Credentials of three Polar customers by role."""
    people = mock.personas()
    names = {"main": "ada.main", "other": "bob.main", "expired": "lapsed.main"}
    return {role: str(people[f"polar/{name}"]["token"]) for role, name in names.items()}


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as CI systems do, with our command on the PATH and no variables of ours but those given."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WALLETPROOF_", "GITHUB_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    # To files, not pipes: a mock that is left running in the background would keep those open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = ["sh", "-eu", "-c", script]
        done = subprocess.run(command, cwd=folder, env={**env, "PATH": path, **variables}, stdout=out, stderr=err, check=False)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(script, done.returncode, out.read(), err.read())


def reports_of(script: str) -> list[str]:
    """The report files that a script names."""
    return re.findall(r"--report \w+=(\S+)", script)


# ---------------------------------------------------------------- the guide


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's files, in which its blocks run one after the other."""
    folder = tmp_path_factory.mktemp("desk")
    (policy,) = blocks("toml")
    (auth,) = blocks("yaml")
    (program,) = blocks("python")
    (folder / "walletproof.toml").write_text(policy, encoding="utf-8")
    (folder / "auth.yaml").write_text(auth, encoding="utf-8")
    (folder / "test_guide.py").write_text(program, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def performed(desk: Path, mock: Mock) -> Iterator[dict[str, Future[Done]]]:
    """What became of the blocks that run something, two at a time; the one that writes reports, which others read, first."""
    own = tokens(mock)
    variables = {"STAGING_TOKEN": own["main"], "STAGING_OTHER_TOKEN": own["other"], "WALLETPROOF_BEARER": own["main"]}
    with ThreadPoolExecutor(2) as pool:
        result = {}
        for block in sorted(COMMANDS, key=lambda block: "report.json --report" not in block):
            result[block] = pool.submit(shell, filled_in(block, mock), desk, **variables)
            if len(result) == 1:
                result[block].result()
        yield result


def filled_in(block: str, mock: Mock) -> str:
    """A block with the mock in the place of staging, and less time to fuzz."""
    own = tokens(mock)
    for placeholder, value in (
        ("http://127.0.0.1:8080", mock.url),
        ("https://staging.example.com", mock.url),
        ("polar_cst_one", own["main"]),
        ("polar_cst_two", own["other"]),
        ("polar_cst_old", own["expired"]),
        ("--max-time 10m", "--max-time 1s"),
    ):
        block = block.replace(placeholder, value)
    return block


@pytest.mark.parametrize("block", COMMANDS)
def test_the_guides_commands_run(block: str, performed: dict[str, Future[Done]], desk: Path, mock: Mock) -> None:
    """Each ends with 0 and writes the reports that it names; the one that fuzzes is cut short, and says so with 3."""
    done = performed[block].result()

    assert done.returncode == (3 if "fuzz" in block else 0), done.stdout + done.stderr
    assert done.stderr == ""
    for name in reports_of(block):
        text = (desk / name).read_text("utf-8")
        assert len(text) > 100, name
        assert not any(token in text for token in tokens(mock).values()), name


def test_the_guides_proofs_are_right() -> None:
    """Options of `prove` and names of defects; that it works is in test_prove.py."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("walletproof prove")]
    assert lines
    for line in lines:
        options = _parser().parse_args(shlex.split(line)[1:])
        assert all(find(name) for name in options.defect)
    assert _parser().parse_args(["prove", *re.findall(r"`(--seeds 20 --only-honest)`", GUIDE)[0].split()]).only_honest


def test_the_guides_tests_run(desk: Path) -> None:
    """The Python block is a test file that passes."""
    done = shell("pytest -q -p no:cacheprovider -p walletproof test_guide.py", desk, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_guide_has_all_commands_and_variables() -> None:
    """The variables it names are those that are read, and every command but `serve` is shown."""
    from contract_tests.checking import variable

    named = set(re.findall(r"WALLETPROOF_[A-Z_]+", GUIDE))
    assert named == {variable(role, kind) for role in ("main", "other", "expired") for kind in ("API_KEY", "BEARER")}
    assert set(re.findall(r"^walletproof (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE)) == {"gate", "fuzz", "prove"}


def test_links_lead_somewhere() -> None:
    """Relative links in the documents, with their anchors."""
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            linked = page if not target else page.parent / target
            assert linked.exists(), f"{page.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, f"{page.name}: #{anchor}"


# ---------------------------------------------------------------- policies


@pytest.mark.parametrize(
    "text", [*blocks("toml"), (RECIPES / "policy.toml").read_text(encoding="utf-8")], ids=["guide", "recipe"]
)
def test_policies_are_whole_examples(text: str, tmp_path: Path) -> None:
    """They can be read, show every member that there is, and accept rules that exist, not for ever."""
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    policy = read_policy(path)

    for kind in (Policy, Floor, Accepted):
        for name in kind.__dataclass_fields__:
            assert re.search(rf"\b{name}\b", text), name
    known = {rule.id for provider in ("flexprice", "polar") for rule in catalogue.rules(provider)}
    assert policy.accept
    assert all(entry.rule in known and entry.until for entry in policy.accept)


# ---------------------------------------------------------------- recipes


def load(name: str) -> dict[str, Any]:
    """A recipe; the word `on`, which YAML 1.1 takes for true, is put right."""
    data = yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return {"on" if key is True else key: value for key, value in data.items()}


def scripts(job: dict[str, Any]) -> list[str]:
    """What a job runs, of GitHub or of GitLab; the steps of one GitLab job share a shell."""
    if "steps" in job:
        return [step["run"] for step in job["steps"] if "run" in step and step.get("if") != "failure()"]
    return [*job.get("before_script", ()), "\n".join(job["script"])]


def variables_of(*parts: dict[str, Any]) -> dict[str, str]:
    """Variables as a recipe sets them; what comes out of secrets and settings is left out."""
    found: dict[str, str] = {}
    for part in parts:
        found |= {name: value for name, value in (part.get("env") or part.get("variables") or {}).items() if "${{" not in value}
    return found


def run_job(job: dict[str, Any], variables: dict[str, str], folder: Path) -> None:
    """Every script of a job; installing is looked at, not done. Reports must be there afterwards, and be kept."""
    shutil.copy(RECIPES / "policy.toml", folder / "walletproof.toml")
    kept = yaml.safe_dump(job)
    for script in scripts(job):
        if "pip install" in script:
            assert script == 'python -m pip install "$WALLETPROOF"'
            continue
        done = shell(script, folder, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        for name in reports_of(script):
            assert (folder / name).stat().st_size > 100, name
            assert kept.count(name) > 1 or name == "mock.xml", f"{name} is made, and not kept"


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def staging(mock: Mock) -> dict[str, str]:
    """What the settings and secrets of a project would hold."""
    secrets = {f"WALLETPROOF_{'' if role == 'main' else role.upper() + '_'}BEARER": token for role, token in tokens(mock).items()}
    # Secrets that are not set are empty variables.
    empty = dict.fromkeys(("WALLETPROOF_API_KEY", "WALLETPROOF_OTHER_API_KEY", "WALLETPROOF_EXPIRED_API_KEY"), "")
    return {"STAGING_URL": mock.url, "STAGING_HOST": "staging.example.com", "PROVIDER": "polar", **secrets, **empty}


@dataclass(frozen=True)
class Job:
    """One that is run as it stands: in which file it is and under which name, and what it shares with others there."""

    file: str
    name: str
    shared: str = ""

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The job and its variables."""
        recipe = load(self.file)
        job = recipe.get("jobs", recipe)[self.name]
        shared = recipe.get(self.shared, {})
        return {**shared, **job}, variables_of(recipe if "jobs" in recipe else shared, job)


JOBS = {
    "mock on GitHub": Job("github-actions.yml", "mock"),
    "staging on GitHub": Job("github-actions.yml", "staging"),
    "mock on GitLab": Job("gitlab-ci.yml", "wallets:mock", ".wallets"),
    "staging on GitLab": Job("gitlab-ci.yml", "wallets:staging", ".wallets"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A folder for each job; a mock that a job leaves running, as jobs do, is stopped."""
    made = {name: tmp_path_factory.mktemp("job") for name in JOBS}
    yield made
    for folder in made.values():
        if (folder / "mock.pid").exists():
            os.kill(int((folder / "mock.pid").read_text()), signal.SIGTERM)


@pytest.fixture(scope="module")
def finished(mock: Mock, folders: dict[str, Path]) -> Iterator[dict[str, Future[None]]]:
    """What became of each job, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        result = {}
        for name, which in JOBS.items():
            job, variables = which.read()
            # Flexprice once, with the credentials that a mock tells; the rest is shorter.
            given = staging(mock) if "staging" in name else {"MOCK_PORT": free_port()}
            given |= {"PROVIDER": "polar"} if "GitLab" in name else {}
            result[name] = pool.submit(run_job, job, {**variables, **given}, folders[name])
        yield result


@pytest.mark.parametrize("name", JOBS)
def test_jobs_pass(name: str, finished: dict[str, Future[None]], folders: dict[str, Path], mock: Mock) -> None:
    """Every script ends with 0; reports are made and kept, and nothing in them is secret."""
    finished[name].result()

    made = [path for path in folders[name].iterdir() if path.suffix in (".xml", ".sarif", ".html", ".json")]
    assert made
    assert not any(token in path.read_text("utf-8") for path in made for token in tokens(mock).values())


def test_all_variables_of_staging_are_set(mock: Mock) -> None:
    """A test that gave other variables than the recipe takes from secrets and settings would prove nothing."""
    for job in (load("github-actions.yml")["jobs"]["staging"], load("nightly-fuzz.yml")["jobs"]["fuzz"]):
        assert set(staging(mock)) - {"PROVIDER"} == {name for name, value in job["env"].items() if "${{" in value}


def test_github_fails_when_staging_breaks_its_promise(mock: Mock, session: str, tmp_path: Path) -> None:
    """The step ends with 1, in which case the reports are there to be uploaded all the same."""
    job = load("github-actions.yml")["jobs"]["staging"]
    (gate,) = [script for script in scripts(job) if "walletproof gate" in script]
    shutil.copy(RECIPES / "policy.toml", tmp_path / "walletproof.toml")
    broken = f"{gate} --header 'Prefer: defect=polar-max-page-one-short' --header 'X-Mock-Session: {session}'"
    done = shell(broken, tmp_path, **staging(mock))

    assert done.returncode == 1, done.stdout + done.stderr
    assert all((tmp_path / name).exists() for name in reports_of(gate))
    assert all(step.get("if") == "always()" for step in job["steps"] if "upload" in step.get("uses", ""))


def test_github_fuzzes_every_night(mock: Mock, tmp_path: Path) -> None:
    """With the baseline made as the recipe says; the report names the day's seed, with which the night can be repeated."""
    text = (RECIPES / "nightly-fuzz.yml").read_text(encoding="utf-8")
    (make_baseline,) = re.findall(r"^# +(walletproof gate .*)$", text, flags=re.MULTILINE)
    assert shell(make_baseline, tmp_path, **staging(mock)).returncode == 0
    recipe = load("nightly-fuzz.yml")
    assert recipe["on"]["schedule"]
    job = recipe["jobs"]["fuzz"]
    variables = {**variables_of(recipe, job), **staging(mock)}
    # Bounded by examples, and not by time: on a busy machine a few seconds are no time at all.
    for step in job["steps"]:
        if "run" in step:
            step["run"] = step["run"].replace("--max-time", "--max-examples 2 --max-time")
    run_job(job, {**variables, "FUZZ_TIME": "60s"}, tmp_path)

    (run,) = from_json(json.loads((tmp_path / "nightly.json").read_text("utf-8"))).runs
    assert re.fullmatch(r"20\d{6}", str(run.seed))
    assert (run.mode, run.verdict) == ("own", "pass")
