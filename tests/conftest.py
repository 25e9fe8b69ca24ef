from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and oracles that lie beside the checkout, not in it."""
    if not SHARED.is_dir():
        pytest.skip("real data and oracles are not beside this checkout (../shared)")
    return SHARED


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A scheduler of dask with two workers, processes of this machine with one thread each."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1", memory_limit=0
    ) as cluster:
        yield cluster
