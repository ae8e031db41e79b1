"""Bodies that Flexprice takes: what a schema leaves open is mostly refused by rules that no schema can state.

They are for making requests only. An answer is judged by the contract as it is, whatever was sent.
"""

from __future__ import annotations

from typing import Any

_CREDITS = {"type": "string", "pattern": r"^[1-9](\.[0-9]{1,4})?$"}
_TEXT = {"type": "string", "pattern": "^[a-z ]{1,20}$"}
_METADATA = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 8}, "maxProperties": 3}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def accepted(run_id: str) -> dict[str, dict[str, Any]]:
    """Schemas of bodies that are taken, by operation. The customers are made up, as Flexprice lets us."""
    return {
        "createWallet": _object(
            ["customer_id", "currency"],
            customer_id={"type": "string", "pattern": f"^wp-{run_id}-[a-z0-9]{{4,8}}$"},
            currency={"enum": ["usd", "eur", "gbp", "jpy"]},
            wallet_type={"enum": ["PRE_PAID", "POST_PAID"]},
            conversion_rate={"enum": ["1", "2", "0.5", "0.1", "3"]},
            initial_credits_to_load=_CREDITS,
            description=_TEXT,
            metadata=_METADATA,
        ),
        "topUpWallet": _object(
            ["credits_to_add", "transaction_reason"],
            credits_to_add=_CREDITS,
            transaction_reason={"enum": ["FREE_CREDIT_GRANT", "SUBSCRIPTION_CREDIT_GRANT", "PURCHASED_CREDIT_DIRECT"]},
            idempotency_key={"type": "string", "pattern": f"^wp-{run_id}-[a-z0-9]{{4,8}}$"},
            bonus_credits_to_add=_CREDITS,
            description=_TEXT,
            priority={"type": "integer", "minimum": 0, "maximum": 9},
            metadata=_METADATA,
        ),
    }


def examples(run_id: str) -> dict[str, dict[str, Any]]:
    """One body for each operation that has one, for the phase that sends examples."""
    return {
        "createWallet": {"customer_id": f"wp-{run_id}-f1", "currency": "usd"},
        "topUpWallet": {"credits_to_add": "2", "transaction_reason": "FREE_CREDIT_GRANT"},
        "updateWallet": {"name": "walletproof"},
        "queryWallet": {"limit": 10},
        "queryWalletTransaction": {"limit": 10},
    }
