"""Fixtures that every test module may use."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pairs beside the checkout; the test is skipped, visibly, without it."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"needs the real data at {SHARED_DATA}, which is not there")
    return SHARED_DATA
