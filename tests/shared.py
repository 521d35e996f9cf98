"""Where the shared corpora and standards are: beside the repository, or where POSTWREN_SHARED says."""

import os
from pathlib import Path

__all__ = ["SHARED", "corpus"]

SHARED = Path(os.environ.get("POSTWREN_SHARED", Path(__file__).parent.parent.parent / "shared"))


def corpus() -> list[Path]:
    """Every message of the corpora; empty where they are absent."""
    return sorted((SHARED / "corpora").rglob("*.eml"))
