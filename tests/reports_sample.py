"""Results as a hostile service would have them made: every text in them may break some format."""

from __future__ import annotations

from contract_tests.results import Cause, Coverage, Results, RuleResult, Run, Step

MARKUP = "<script>alert('x')</script> ]]> --> </style> &amp; \"quoted\" `tick` | pipe"
CONTROL = "bell\x07 escape\x1b[31m null\0 return\r newline\n tab\t del\x7f c1\x85 \u202eoverride\u202c \u2028line \ud800 end"
UNICODE = "Grüße 残高 €1.00 👛"
LONG = "very long " * 300
PERCENT = "100% of a:b,c %0A ::error::x"
NASTY = (MARKUP, CONTROL, UNICODE, LONG, PERCENT)

CURL = (
    """curl -sS -i -X POST -H "x-api-key: $WALLETPROOF_API_KEY" -H 'content-type: application/json' """
    """--data-binary '{"amount": "10.00", "note": "it'"'"'s <b>&amp;</b>\\n €"}' """
    """'http://127.0.0.1:8080/v1/wallets/wallet_01/top-up?a=1&b=%20'"""
)


def step(body: str = '{"balance": "10.00"}', status: int | None = 200, curl: str = CURL, trouble: str = "") -> Step:
    """One exchange."""
    return Step(
        identity="main",
        method="POST",
        url="http://127.0.0.1:8080/v1/wallets/wallet_01/top-up?a=1&b=%20",
        curl=curl,
        request_headers={"x-api-key": "***", "content-type": "application/json"},
        request_body='{"amount": "10.00"}',
        status=status,
        response_headers={"content-type": "application/json"},
        response_body=body,
        trouble=trouble,
    )


def cause(rule: str, operation: str, pointer: str = "", problem: str = "is wrong", **other: object) -> Cause:
    """A confirmed, failing cause unless told otherwise."""
    values: dict[str, object] = {
        "fingerprint": f"{rule} {operation or '-'} {pointer or '-'}",
        "rule": rule,
        "area": rule.partition(".")[0],
        "level": "semantic",
        "operation": operation,
        "pointer": pointer,
        "problem": problem,
        "expected": "",
        "got": "",
        "probe": "top-ups",
        "steps": [],
        "confirmation": "confirmed",
        "seen": 3,
        "sent": 3,
    }
    return Cause(**(values | other))  # type: ignore[arg-type]


def sample() -> Results:
    """A run with everything in it that a report has to show, and one that is inconclusive."""
    causes = [
        cause(
            "errors.no-internals",
            "getWallet",
            "/error/message",
            CONTROL,
            expected=MARKUP,
            got=CONTROL,
            steps=[step(CONTROL, 500, "\ncurl --data-binary 'two\r\nlines </pre> &amp; &#13;\n' http://127.0.0.1:8080")],
        ),
        cause(
            "money.balance-is-credits-times-rate",
            "getWalletBalance",
            "/balance",
            "the balance is not credits times rate",
            expected="10.00",
            got="11.00",
            count=12,
            steps=[step(), step('{"balance": "11.00", "credits": "10", "rate": "1"}'), step("", None, trouble="timed out")],
            first_request=17,
            first_seconds=0.42,
        ),
        cause("response.body", "listWallets", "/items/0/name", MARKUP, level="published", expected=UNICODE, got=PERCENT),
        cause("response.status", "", "", PERCENT, level="overlay", steps=[step(MARKUP)]),
        cause("auth.others-wallets-hidden", "getWallet", "", LONG, expected="404", got="200", steps=[step(LONG)]),
        cause(
            "lists.pages-complete",
            "listTransactions",
            "/items",
            "an item is on two pages",
            standing="known",
            fails=False,
            reason="WALLET-7, " + MARKUP,
            count=1234,
        ),
        cause("state.update-merges", "updateWallet", "/metadata", "a key got lost", standing="known", fails=False),
        cause("state.reads-repeat", "getWallet", "/updated_at", "differs", confirmation="flaky", fails=False, seen=1, sent=3),
        cause("concurrency.parallel-top-ups", "topUpWallet", "/balance", UNICODE, confirmation="flaky", seen=2),
        cause("robustness.no-server-error", "topUpWallet", "", "503", confirmation="unconfirmed", seen=1, sent=1),
        cause("errors.shape", "getWallet", "/error", "has no code", got=LONG),
        cause("custom.unlisted", "terminateWallet", "/x", "a rule that is in no list"),
    ]
    failed = {entry.rule for entry in causes}
    rules = [RuleResult(rule, f"What {rule} says.", "failed", 40) for rule in sorted(failed - {"custom.unlisted"})]
    rules += [
        RuleResult("money.top-up-adds", MARKUP, "passed", 12),
        RuleResult("money.rows-chain", "Rows chain.", "passed", 3),
        RuleResult("auth.expired-refused", "Expired keys are refused.", "not tested", 0, "needs an expired credential"),
        RuleResult("auth.wrong-key-refused", "Wrong keys are refused.", "not tested", 0, "needs an expired credential"),
        RuleResult("state.published", "Events.", "not tested", 0, CONTROL),
    ]
    coverage = Coverage(
        operations={f"operation{number}": number != 3 for number in range(11)},
        statuses={f"getWallet {status}": status < 404 for status in (200, 400, 401, 404, 500)},
        parameters={"getWallet query expand": True, f"getWallet query {MARKUP}": False},
        fields={f"getWallet 200 /field{number}": number % 3 > 0 for number in range(60)},
        enums={"getWallet 200 /status= active": True, "getWallet 200 /status= frozen": False},
    )
    first = Run(
        provider="flexprice",
        target="http://127.0.0.1:8080",
        mode="own",
        level="semantic",
        seed=7,
        requests=1234,
        seconds=12.345,
        verdict="findings",
        why=["out of time (--max-time 60s)", MARKUP],
        causes=causes,
        fixed=["money.top-up-booked topUpWallet -", MARKUP],
        policy_notes=["fails: accepted until 2025-01-01, which has passed: errors.shape", f"accepted, but not seen: {UNICODE}"],
        rules=rules,
        coverage=coverage,
        statuses={"200": 1000, "404": 230, "0": 4},
        created=5,
        cleaned=3,
        leftovers=["active: wallet_01", "3 closed wallets, which the API cannot delete"],
        interrupted="out of time (--max-time 60s)",
    )
    second = Run("polar", "https://staging.example.com/api", "read", "published", 7, why=["the credentials were refused: 401"])
    return Results("gate", "0.1.0", "2026-01-02T03:04:05Z", [first, second])
