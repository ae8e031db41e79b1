"""The recipe for JavaScript test runners, run by a JavaScript engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import Mock

RECIPE = Path(__file__).parent.parent.parent / "docs" / "recipes" / "mock-controls.mjs"


def test_the_javascript_recipe_runs(mock: Mock, tmp_path: Path) -> None:
    """The recipe does in a JavaScript engine what it says."""
    story = f"""
import {{ mockSession }} from '{RECIPE}';
const session = await mockSession('{mock.url}', {{ clock: 'frozen:2026-11-21T09:00:00Z' }});
await session.setWallet('healthy', {{ credit_balance: '3' }});
const wallet = (await session.wallet('healthy')).wallet;
await session.setFault({{ fault: 'error', code: 503, times: 1 }});
const ask = () => fetch(`{mock.url}/v1/wallets/${{wallet.id}}`, {{ headers: {{ 'x-api-key': 'k', ...session.headers }} }});
const statuses = [(await ask()).status, (await ask()).status];
await session.expect('getWallet', {{ times: 2 }});
await session.advance('7 days');
let refused = '';
try {{ await session.expect('topUpWallet'); }} catch (error) {{ refused = error.message; }}
await session.delete();
console.log(JSON.stringify({{ alert: wallet.alert_state, statuses, refused: refused.slice(0, 30) }}));
"""
    file = tmp_path / "story.mjs"
    file.write_text(story, "utf-8")
    done = subprocess.run(["node", str(file)], capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout.strip() == ('{"alert":"warning","statuses":[503,200],"refused":"expected at least 1 of topUpWa"}'), (
        done.stderr
    )
