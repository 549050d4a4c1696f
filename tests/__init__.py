"""Tests, laid out as `src/runstone` is; run them with `pytest -n auto`."""
