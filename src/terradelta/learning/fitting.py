"""The loop that trains any network: checkpoints, devices, precision, and how it stops and goes on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.spawn import ProcessRaisedException

from terradelta import errors
from terradelta.errors import ConfigError, InputError
from terradelta.learning.hushing import quiet
from terradelta.learning.log import Log, Row, read_log
from terradelta.learning.options import TrainingOptions
from terradelta.learning.run import Run
from terradelta.learning.stopping import Stop, TrainingStopped

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from torch.utils.data import DataLoader

    from terradelta.learning.keeping import KeeperState

__all__ = ["FitResult", "fit", "require_lightning", "seeded"]

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes
    ----------
    epochs : int
        That were trained, over all parts of the run.
    best_epoch : int
        The one with the least validation loss, from 1.
    best_loss : float
        That loss.
    best, last : Path
        Checkpoints.
    log : list of dict
        A row per epoch.
    idle : bool
        Whether the run was finished before, so that nothing was trained.
    """

    epochs: int
    best_epoch: int
    best_loss: float
    best: Path
    last: Path
    log: list[Row]
    idle: bool = False


def require_lightning() -> None:
    """Refuse to train where the packages for it are not installed.

    Raises
    ------
    InputError
        Names the extra that is missing.
    """
    for name in ("lightning", "tensorboard"):
        if find_spec(name) is None:
            raise InputError(f"training needs the package {name}; install terradelta with the extra 'train'")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build something with random weights that depend on the seed only; the state outside stays.

    Parameters
    ----------
    seed : int
        Which weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def fit(
    task: pl.LightningModule,
    train_loader: DataLoader[Any],
    validation_loader: DataLoader[Any],
    options: TrainingOptions,
    run: Run,
    *,
    resume: Path | None = None,
    weights_only: bool = False,
    progress: Callable[[str, int], Any] | None = None,
) -> FitResult:
    """Train, or go on where the run was stopped.

    The same seed gives the same weights, whether or not the run was stopped in between, and by whatever:
    the order of the samples and the random numbers of each step depend on seed, epoch and step only.

    Parameters
    ----------
    task : LightningModule
        Its ``training_step`` gives a loss; its ``validation_step`` logs ``val_loss``. The best weights are
        in it afterwards.
    train_loader, validation_loader : DataLoader
        From `terradelta.learning.make_loader`.
    options : TrainingOptions
        Numbers of the training.
    run : Run
        Where everything is kept; if it was begun, it goes on there.
    resume : Path, optional
        Checkpoint or run folder to begin a new run from.
    weights_only : bool
        Take its weights only, not the state of the optimiser nor the number of epochs.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    FitResult
        How it ended.

    Raises
    ------
    InputError
        A loss is no number (the samples are named), or a checkpoint does not fit.
    ConfigError
        Device or precision are not to be had here.
    TrainingStopped
        After SIGINT or SIGTERM, with the checkpoint written.
    """
    require_lightning()
    from terradelta.learning.checkpoints import fill_task, read_checkpoint
    from terradelta.learning.keeping import BEST, LAST, Keeper, inherit

    own = run.checkpoints / LAST
    start = own if own.is_file() else None if resume is None else _checkpoint_of(resume)
    state: KeeperState | None = None
    if start is not None:
        document = read_checkpoint(start)
        fill_task(task, document["state_dict"], start)
        state = dict(document.get("callbacks", {}).get("Keeper", {})) or None
        if weights_only and start != own:
            start = state = None
        elif state is not None and start != own and state["epoch"] >= options.epochs:
            raise InputError(
                f"{resume} has {state['epoch']} epochs already, and epochs is {options.epochs}; give more, "
                "or take its weights only"
            )
        del document
    stop = Stop()
    idle = state is not None and start == own and bool(state["finished"])
    if not idle:
        with stop.listening(), quiet(), _steps(options, progress, train_loader, state) as tick:
            if start is not None and state is not None and start != own:
                inherit(start, run.checkpoints)
            keeper = Keeper(run.checkpoints, Log(run.log), options, stop, tick)
            _train(task, (train_loader, validation_loader), options, run, keeper, start, state)
    done: KeeperState = dict(read_checkpoint(own)["callbacks"]["Keeper"])
    best = run.checkpoints / BEST
    fill_task(task, read_checkpoint(best)["state_dict"], best)
    epoch, loss = int(done["best_epoch"]) + 1, float(done["best"])
    return FitResult(int(done["epoch"]), epoch, loss, best, own, read_log(run.log), idle)


def _checkpoint_of(path: Path) -> Path:
    """Find the last checkpoint of a run folder, or take a file as it is."""
    from terradelta.learning.keeping import LAST

    for file in (path / "checkpoints" / LAST, path / LAST):
        if file.is_file():
            return file
    return path


def _train(
    task: pl.LightningModule,
    loaders: tuple[DataLoader[Any], DataLoader[Any]],
    options: TrainingOptions,
    run: Run,
    keeper: Any,
    start: Path | None,
    state: KeeperState | None,
) -> None:
    """Run Lightning, and turn what it raises into what it means."""
    from terradelta.learning.stopping import Halt

    batches: Any = loaders[0].batch_sampler
    if state is not None:
        batches.epoch, batches.first = state["epoch"], (state["epoch"], state["batch"])
    strict, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    trainer = _trainer(options, run, keeper)
    try:
        trainer.fit(task, *loaders, ckpt_path=start, weights_only=True)
    except (Halt, ProcessRaisedException, InputError) as error:
        raise _meaning(error) from None
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn)


def _meaning(error: Exception) -> BaseException:
    """Find the one line that matters in what came out of another process."""
    from terradelta.learning.stopping import Halt

    if isinstance(error, Halt):
        return TrainingStopped()
    text = str(error)
    if isinstance(error, InputError) and "\n" not in text:
        return error
    if re.search(r"^terradelta\.learning\.stopping\.Halt\b", text, re.MULTILINE):
        return TrainingStopped()
    found = re.findall(r"^terradelta\.errors\.(\w+): (.+)$", text, re.MULTILINE)
    if found:
        plain = [one for one in found if not one[1].startswith("Caught ")] or found
        kind: type[Exception] = getattr(errors, plain[-1][0])
        return kind(plain[-1][1])
    return error


def _trainer(options: TrainingOptions, run: Run, keeper: Any) -> Any:
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.strategies import DDPStrategy

    from terradelta.learning.checkpoints import AtomicCheckpoints

    accelerator, devices = _devices(options)
    strategy: Any = "auto"
    if devices > 1:
        backend = "gloo" if accelerator == "cpu" else None
        strategy = DDPStrategy(start_method="spawn", process_group_backend=backend)
    return pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        precision=_PRECISIONS[options.precision],  # type: ignore[arg-type]
        max_epochs=options.epochs,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip or None,
        deterministic="warn" if options.deterministic else False,
        benchmark=not options.deterministic,
        sync_batchnorm=devices > 1 and accelerator != "cpu",
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.folder,
        logger=TensorBoardLogger(run.folder, name="tensorboard", version=""),
        callbacks=[keeper],
        plugins=[AtomicCheckpoints()],
    )


def _devices(options: TrainingOptions) -> tuple[str, int]:
    """Choose where to run, and refuse what is not there."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = options.device or ("cuda" if gpus and options.processes == 1 else "cpu")
    if wanted not in ("cpu", "cuda"):
        raise ConfigError(f"device is {wanted!r}; give cpu or cuda")
    if wanted == "cuda" and gpus < options.devices:
        raise ConfigError(
            f"{options.devices} GPUs are wanted, but {gpus} are here; lower devices, or give device cpu"
        )
    if wanted == "cpu" and options.devices > 1:
        raise ConfigError(
            f"devices is {options.devices}, but there is no GPU in use; give processes for the CPU"
        )
    if wanted == "cpu" and options.precision == "float16":
        raise ConfigError("precision is float16, which needs a GPU; give bfloat16 or float32")
    if wanted == "cuda" and options.processes > 1:
        raise ConfigError(
            f"processes is {options.processes}, which is for the CPU; give devices for several GPUs"
        )
    return ("cpu", options.processes) if wanted == "cpu" else ("cuda", options.devices)


class _Tick:
    """Tells another process of steps; only the first of those that train does."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __call__(self, steps: int) -> None:
        import torch.distributed as distributed

        if not distributed.is_initialized() or distributed.get_rank() == 0:
            self._queue.put(steps)


@contextmanager
def _steps(
    options: TrainingOptions, progress: Callable[[str, int], Any] | None, loader: Any, state: Any
) -> Iterator[Callable[[int], None]]:
    """Give a function that shows progress, from whatever process it is called."""
    per_epoch = -(-len(loader) // max(options.processes, options.devices))
    done = 0 if state is None else state["epoch"] * per_epoch + state["batch"]
    if progress is None:
        yield _nothing
        return
    with progress("training", max(options.epochs * per_epoch - done, 1)) as advance:
        if options.processes == 1 and options.devices == 1:
            yield advance
            return
        queue: Any = torch.multiprocessing.get_context("spawn").SimpleQueue()
        reader = threading.Thread(target=_drain, args=(queue, advance), daemon=True)
        reader.start()
        try:
            yield _Tick(queue)
        finally:
            queue.put(None)
            reader.join(timeout=5)


def _nothing(steps: int) -> None:
    """Show nothing."""


def _drain(queue: Any, advance: Callable[[int], None]) -> None:
    while (steps := queue.get()) is not None:
        advance(steps)
