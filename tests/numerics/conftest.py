"""Fixtures of the numerics' tests."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device the numerics run on; CUDA is skipped, visibly, where there is none."""
    name: str = request.param
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and this machine has none")
    return torch.device(name)
