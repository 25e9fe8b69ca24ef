"""The same network in Keras, for `bench_urban.py`: run by an interpreter that has TensorFlow.

    python keras_ercnn.py FOLDER

reads FOLDER/case.npz and, for every line on standard input, runs all windows, writes FOLDER/maps.npy and says
how many seconds it took.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
from tensorflow import keras

layers = keras.layers
BATCH = 32


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's hard sigmoid, under Keras 3 too."""
    return tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)


class Network:
    """Layers in the order in which the weights come."""

    def __init__(self, sar_filters: int, optical_filters: int) -> None:
        self.blocks = [self.block(filters) for filters in (sar_filters, optical_filters, optical_filters)]
        self.memories = [
            layers.ConvLSTM2D(filters, 3, padding="same", recurrent_activation=hard_sigmoid)
            for filters in (sar_filters, optical_filters)
        ]
        self.head = [self.block(8), self.block(8)]
        self.out = layers.Conv2D(1, 1, activation="sigmoid")

    @staticmethod
    def block(filters: int) -> list[Any]:
        """Convolution and normalisation."""
        return [layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization()]

    @property
    def ordered(self) -> list[Any]:
        """All layers with weights."""
        return [each for block in [*self.blocks, self.memories, *self.head, [self.out]] for each in block]

    def model(self, steps: int, size: int, sar: int, optical: int) -> Any:
        """Connect the layers."""
        x = layers.Input((steps, size, size, sar + optical))
        mask = layers.Input((steps,), dtype="bool")
        parts = [x[..., :sar], x[..., sar:]]
        for part, block in ((0, self.blocks[0]), (1, self.blocks[1]), (1, self.blocks[2])):
            for layer in (*block, layers.ReLU()):
                parts[part] = layers.TimeDistributed(layer)(parts[part])
        states = [memory(part, mask=mask) for memory, part in zip(self.memories, parts, strict=True)]
        y = layers.Concatenate()(states)
        for block in self.head:
            for layer in (*block, layers.ReLU()):
                y = layer(y)
        return keras.Model([x, mask], self.out(y))


def main() -> None:
    """Serve runs."""
    folder = Path(sys.argv[1])
    case = dict(np.load(folder / "case.npz"))
    tf.config.threading.set_intra_op_parallelism_threads(int(case["threads"]))
    frames, windows, steps = case["frames"], case["windows"], int(case["steps"])
    network = Network(*case["filters"].tolist())
    model = network.model(steps, frames.shape[1], *case["channels"].tolist())
    for number, layer in enumerate(network.ordered):
        layer.set_weights([case[f"w{number}_{part}"] for part in range(len(layer.get_weights()))])
    run = tf.function(lambda x, mask: model([x, mask], training=False))
    traced = False
    for _ in sys.stdin:
        maps, seconds = [], 0.0
        for first in range(0, len(windows), BATCH):
            x = np.full((BATCH, steps, *frames.shape[1:]), -1.0, np.float32)
            mask = np.zeros(x.shape[:2], bool)
            some = windows[first : first + BATCH]
            for row, (start, stop) in enumerate(some):
                x[row, : stop - start], mask[row, : stop - start] = frames[start:stop], True
            given = tf.constant(x), tf.constant(mask)
            if not traced:
                run(*given)
                traced = True
            began = time.perf_counter()
            found = run(*given).numpy()
            seconds += (time.perf_counter() - began) * len(some) / BATCH
            maps.append(found[: len(some), ..., 0])
        np.save(folder / "maps.npy", np.concatenate(maps))
        sys.stdout.write(f"{seconds}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
