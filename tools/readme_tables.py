"""Writes the persona tables of README.md from the fixtures (`make docs`); with --check only says whether they are right."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mock_server.assembly import Settings, assemble
from mock_server.personas import Cast

README = Path(__file__).parent.parent / "README.md"


def table(cast: Cast) -> str:
    """The personas of one provider."""
    rows = [f"| `{persona.name}` | {persona.about} |" for persona in cast.personas()]
    return "\n".join(["| persona | what is special |", "|---|---|", *rows])


def rewritten(text: str) -> str:
    """The text with every marked table made anew."""
    casts = assemble(Settings()).casts

    def block(match: re.Match[str]) -> str:
        return f"<!-- personas: {match[1]} -->\n{table(casts[match[1]])}\n<!-- end -->"

    return re.sub(r"<!-- personas: (\w+) -->.*?<!-- end -->", block, text, flags=re.DOTALL)


def main() -> int:
    """Rewrite, or check."""
    text = README.read_text(encoding="utf-8")
    right = rewritten(text)
    if "--check" in sys.argv:
        return int(right != text)
    README.write_text(right, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
