"""The base of every model that crosses a border."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Frozen, and strict about names: an unknown key is an error, not a surprise after a day of training.

    Numbers are finite, but for those that say otherwise: JSON has no others, so these are written as words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")
