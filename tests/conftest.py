from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and oracles that lie beside the checkout, not in it."""
    if not SHARED.is_dir():
        pytest.skip("real data and oracles are not beside this checkout (../shared)")
    return SHARED
