"""Models saved to folders, and tables for them."""

from pathlib import Path
from typing import Any

import pytest

for _module in ("pandas", "sklearn", "pyarrow"):
    pytest.importorskip(_module, reason="the extras `sklearn` and `parquet` are not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A linear model, y = 2 a + b, with a signature of two doubles."""
    from tests.scoring.support import save_linear

    return save_linear(tmp_path / "linear")


@pytest.fixture
def table() -> Any:
    """Ten rows: an id, the inputs, and a column that no model asks for."""
    import pandas

    ids = [f"00{i}" for i in range(10)]
    return pandas.DataFrame({"id": ids, "b": [0.5] * 10, "a": [float(i) for i in range(10)], "note": ["x"] * 10})
