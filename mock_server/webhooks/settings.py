"""How a session's messages go out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where messages go and how. Without a URL they are kept until somebody drains them.

    `own_secret`: signed with the session's secret, not the server's; secrets themselves are in no world. `types` None means all.
    """

    url: Annotated[str, Field(max_length=2000)] | None = None
    own_secret: bool = False
    enabled: bool = True
    delay: Annotated[timedelta, Field(ge=timedelta())] = timedelta()
    duplicate: bool = False
    reorder: bool = False
    types: tuple[str, ...] | None = None

    def wants(self, type: str) -> bool:
        """Whether messages of a type are made at all."""
        return self.enabled and (self.types is None or type in self.types)
