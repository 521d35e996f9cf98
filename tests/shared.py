"""Where the shared corpora and specifications are: beside the repository, or where POSTWREN_SHARED says."""

import os
from pathlib import Path

__all__ = ["SHARED"]

SHARED = Path(os.environ.get("POSTWREN_SHARED", Path(__file__).parent.parent.parent / "shared"))
