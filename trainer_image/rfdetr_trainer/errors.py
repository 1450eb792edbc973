"""Errors that end a run with a reason: one sentence for the user, no stack trace."""

from __future__ import annotations

from rfdetr_contract.report import FailureReason


class RunError(Exception):
    """A run that cannot go on, with its reason from the contract's taxonomy."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ConfigError(RunError):
    """The job asks for something that cannot be; it will not be tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureReason.CONFIG_ERROR, message)


class DataError(RunError):
    """The data set does not fit the job; it will not be tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureReason.DATA_ERROR, message)
