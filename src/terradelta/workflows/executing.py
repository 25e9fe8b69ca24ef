"""Who does the work: this process, some threads of it, or the workers of a dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from terradelta.errors import InputError
from terradelta.tasks import mapped
from terradelta.types import PathType

__all__ = ["executing", "mapped"]


@contextmanager
def executing(
    scheduler: str | None, workers: int = 1, *, reads: Sequence[PathType] = ()
) -> Iterator[Executor | None]:
    """Give what work is submitted to, for `mapped`.

    Parameters
    ----------
    scheduler : str or None
        Address of a dask scheduler, such as ``tcp://10.0.0.1:8786``; None: this machine.
    workers : int
        Threads on this machine; 1: none besides the caller's.
    reads : sequence of path
        What every worker of the scheduler must see as this machine does.

    Yields
    ------
    Executor or None
        None where the caller works itself.

    Raises
    ------
    InputError
        If dask's scheduler is not installed, the address makes no sense, or a worker runs another version of
        terradelta or does not see a path.
    UnavailableError
        If nothing answers at the address, no worker is there, or the scheduler goes away.
    TerradeltaError
        If several workers died of the same piece of work.

    Examples
    --------
    >>> with executing(None) as executor:
    ...     list(mapped(executor, abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    """
    if scheduler is not None:
        with _cluster(scheduler, reads) as executor:
            yield executor
    elif workers > 1:
        with ThreadPoolExecutor(workers) as executor:
            yield executor
    else:
        yield None


def _cluster(address: str, reads: Sequence[PathType]) -> Executor:
    try:
        from terradelta.workflows.cluster import Cluster
    except ModuleNotFoundError as error:
        if error.name != "distributed":
            raise
        raise InputError(
            "a scheduler needs the package distributed; "
            "install it with `pip install 'terradelta[distributed]'`"
        ) from None
    return Cluster(address, reads)
