"""The plot: bars as plain SVG, readable on light and on dark pages, with the reader's own fonts."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.speed.results import Results

WIDTH, LABEL, VALUE = 900, 350, 110  # of the picture, of the names on the left, of the figures on the right
LINE, TITLE = 22, 44

_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px }
  .name { text-anchor: end }
  .bar { fill: #8c959f } .ours { fill: #2f6fdb } .span { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d8dee4 } .bar { fill: #6e7681 } .ours { fill: #5b9bf5 } .span { stroke: #d8dee4 }
  }
"""


@dataclass(frozen=True)
class Bar:
    """One figure, with the lowest and the highest that its median stands for."""

    name: str
    values: Sequence[float]
    ours: bool

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Panel:
    """Bars of one unit; `form` is how their figures are written."""

    title: str
    bars: Sequence[Bar]
    form: str


def panels(results: Results) -> Iterator[Panel]:
    """What is drawn, from above."""
    for group in results.groups:
        bars = [Bar(f"{row.server}: {row.load}", [run.rate for run in row.runs], row.ours) for row in group.rows]
        yield Panel(f"{group.title}: requests per second", bars, ",.0f")
    starts = [Bar(entry.server, entry.starts, entry.ours) for entry in results.footprints]
    yield Panel("Seconds to the first answer (less is better)", starts, ".2f")
    memory = [Bar(entry.server, [entry.worked], entry.ours) for entry in results.footprints]
    yield Panel("Memory after its requests, MiB (less is better)", memory, ",.0f")


def svg(results: Results) -> str:
    """The whole picture."""
    drawn: list[str] = []
    top = 0
    for panel in panels(results):
        drawn += _panel(panel, top)
        top += TITLE + LINE * len(panel.bars)
    height = top + LINE // 2
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
    return "\n".join(
        [f"<svg {frame}>", "<title>Benchmarks of Walletproof</title>", f"<style>{_STYLE}</style>", *drawn, "</svg>\n"]
    )


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield f'<text class="title" x="10" y="{top + 28}">{escape(panel.title)}</text>'
    most = max((max(bar.values) for bar in panel.bars), default=1)
    scale = (WIDTH - LABEL - VALUE) / most
    for number, bar in enumerate(panel.bars):
        y = top + TITLE + number * LINE
        end = LABEL + bar.value * scale
        low, high = (LABEL + value * scale for value in (min(bar.values), max(bar.values)))
        yield f'<text class="name" x="{LABEL - 8}" y="{y + 12}">{escape(bar.name)}</text>'
        kind = "bar ours" if bar.ours else "bar"
        yield f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{LINE - 6}"/>'
        if high > low:
            yield f'<path class="span" d="M{low:.1f} {y + 8}H{high:.1f}"/>'
        yield f'<text x="{high + 6:.1f}" y="{y + 12}">{bar.value:{panel.form}}</text>'
