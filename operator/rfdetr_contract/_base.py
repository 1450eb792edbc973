"""The base of every model that crosses a border."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Frozen, and strict about names: an unknown key is an error, not a surprise after a day of training."""

    model_config = ConfigDict(frozen=True, extra="forbid")
