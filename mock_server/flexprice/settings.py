"""Alert and automatic top-up settings as clients send them, and the provider's rules for them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from mock_server.flexprice import inputs
from mock_server.flexprice.answers import invalid
from mock_server.flexprice.entities import AlertSettings, AutoTopup, Cooldown, Threshold

_UNITS = ("second", "minute", "hour", "day")


def alert_settings(data: dict[str, Any]) -> AlertSettings:
    """Parse and check the whole object; an update replaces the whole object as well."""
    fields = inputs.present(data)
    settings = AlertSettings(
        alert_enabled=fields.get("alert_enabled"),
        critical=_threshold(fields, "critical"),
        warning=_threshold(fields, "warning"),
        info=_threshold(fields, "info"),
    )
    if problem := alert_problem(settings):
        raise invalid(problem)
    return settings


def auto_topup(data: dict[str, Any], *, update_of: AutoTopup | None = None) -> AutoTopup:
    """Parse the object and check it; an update is merged field by field into what it is an update of."""
    fields = inputs.present(data)
    changes: dict[str, Any] = {name: fields[name] for name in ("enabled", "invoicing") if name in fields}
    for name in ("threshold", "amount"):
        value = inputs.decimal(fields, name)
        if value is not None:
            changes[name] = inputs.stored(value, f"auto_topup.{name}")
    settings = replace(update_of or AutoTopup(), **changes)
    for name in ("threshold", "amount", "invoicing"):
        if getattr(settings, name) is None:
            raise invalid(f"auto_topup.{name} is required")
    if "cooldown" in fields:
        cooldown = _cooldown(inputs.present(fields["cooldown"]), clearable=update_of is not None)
        settings = replace(settings, cooldown=cooldown)
    return settings


def _cooldown(fields: dict[str, Any], *, clearable: bool) -> Cooldown | None:
    value, unit = fields.get("value", 0), fields.get("unit")
    if value == 0 and clearable:
        return None
    if value <= 0:
        raise invalid("auto_topup.cooldown.value must be greater than 0")
    if unit not in _UNITS:
        raise invalid(f"auto_topup.cooldown.unit must be one of {', '.join(_UNITS)}")
    return Cooldown(int(value), unit)


def _threshold(fields: dict[str, Any], name: str) -> Threshold | None:
    if name not in fields:
        return None
    given = inputs.present(fields[name])
    condition = given.get("condition")
    if condition not in ("above", "below"):
        raise invalid(f"alert_settings.{name}.condition must be above or below")
    value = inputs.decimal(given, "threshold")
    return Threshold(condition, inputs.stored(value if value is not None else Decimal(0), f"alert_settings.{name}.threshold"))


def alert_problem(settings: AlertSettings) -> str | None:
    """What the provider would refuse alert settings for; None if nothing."""
    critical, warning, info = settings.critical, settings.warning, settings.info
    if settings.alert_enabled and not (critical or warning or info):
        return "alert_settings: enabled alerts need a critical, warning or info threshold"
    if warning and not critical:
        return "alert_settings.warning needs a critical threshold"
    # From the mildest inwards: each level lies on the mild side of the next one that is given.
    for mild, strict, name in ((warning, critical, "warning"), (info, warning or critical, "info")):
        if mild is None or strict is None:
            continue
        if mild.condition != strict.condition:
            return f"alert_settings.{name} must have the same condition as the stricter threshold"
        milder = mild.threshold <= strict.threshold if mild.condition == "above" else mild.threshold >= strict.threshold
        if not milder:
            return f"alert_settings.{name}: threshold lies beyond the stricter one"
    return None
