"""One HTML page that needs nothing else: no network, no script to be read, nothing that a target sent is ever markup.

The page's content security policy allows its own style and the one script whose hash it names; so even text that got past
the escaping could not run or call home.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contract_tests.reports import wording
from contract_tests.reports.ranking import ranked
from contract_tests.results import Results, Run, Step

_FOLDER = Path(__file__).parent / "page"


def page(results: Results) -> str:
    """The results as a page."""
    return render("report.html", results=results, runs=[_view(run) for run in results.runs])


def render(template: str, **values: object) -> str:
    """A page of the folder, with style, script, and what all of them share."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"exact": _exact, "visible": wording.visible, "line": wording.one_line, "plural": wording.plural}
    environment.globals |= {"exchange": exchange, "words": wording}
    script = (_FOLDER / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        **values,
        style=Markup((_FOLDER / "report.css").read_text("utf-8")),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        script_hash=f"sha256-{digest}",
    )


def _view(run: Run) -> dict[str, object]:
    """What the template needs besides the run itself."""
    outcomes = wording.outcomes(run)
    return {
        "run": run,
        "causes": ranked(run.causes),
        "failing": sum(cause.fails for cause in run.causes),
        "meanings": {rule.rule: rule.meaning for rule in run.rules},
        "rules": sorted(run.rules, key=lambda rule: (("failed", "not tested", "passed").index(rule.outcome), rule.rule)),
        "outcomes": [(name, outcomes[name]) for name in ("failed", "not tested", "passed")],
        "coverage": _coverage(run),
        "facts": {
            "Target": run.target,
            "Mode": run.mode,
            "Level": run.level,
            **({} if run.seed is None else {"Seed": str(run.seed)}),
            "Requests": f"{run.requests:,}",
            "Time": f"{run.seconds:.1f} s",
        },
        "statuses": sorted(Counter(run.statuses).items()),
    }


def _coverage(run: Run) -> list[dict[str, object]]:
    """Per kind: seen of all, and what was not seen."""
    shown = []
    for (title, (seen, all_)), kind in zip(wording.coverage(run).items(), run.coverage.counts(), strict=True):
        missed = sorted(key for key, was_seen in getattr(run.coverage, kind).items() if not was_seen)
        percent = round(100 * seen / all_) if all_ else 0
        shown.append({"title": title.capitalize(), "seen": seen, "all": all_, "percent": percent, "missed": missed})
    return shown


def exchange(step: Step) -> dict[str, str]:
    """A step's request and response as they look on the wire."""
    request = [f"{step.method} {step.url}", *_headers(step.request_headers)]
    status = "no whole answer" if step.status is None else f"HTTP {step.status}"
    response = [status + (f" ({step.trouble})" if step.trouble else ""), *_headers(step.response_headers)]
    return {
        "request": "\n".join([*request, "", step.request_body] if step.request_body else request),
        "response": "\n".join([*response, "", step.response_body] if step.response_body else response),
    }


def _headers(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


def _exact(text: str) -> Markup:
    """Text that can be copied out of the page as it was: HTML would turn a CR into a line end, and has no NUL or surrogates."""
    safe = "".join(mark if mark != "\0" and not "\ud800" <= mark <= "\udfff" else wording.visible(mark) for mark in text)
    return Markup(str(escape(safe)).replace("\r", "&#13;"))  # noqa: S704 - escaped just before
