"""Reading what the user names."""

from __future__ import annotations

from pathlib import Path

from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.shell.cluster import Body
from rfdetr_operator.shell.local_admission import Mistakes, parse_manifest


def read_manifest(path: Path) -> Body:
    """The job of a file."""
    try:
        return parse_manifest(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
    except Mistakes as mistakes:
        raise UserError(*(f"{path}: {sentence}" for sentence in mistakes.sentences)) from None


def parse_claims(given: list[str]) -> dict[str, Path]:
    """``--claim NAME=FOLDER`` as a map; the folders must exist."""
    claims: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UserError(f"--claim {text!r} is not NAME=FOLDER")
        if not Path(folder).is_dir():
            raise UserError(f"--claim {text!r}: {folder} is not a folder")
        claims[name] = Path(folder)
    return claims
