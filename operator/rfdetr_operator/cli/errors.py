"""A user's mistake: sentences, and no stack trace."""

from __future__ import annotations


class UserError(Exception):
    """What the user can mend; each sentence is printed on a line of its own."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences
