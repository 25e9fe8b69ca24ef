"""The published network in Keras, for `bench_unet.py`: run by an interpreter that has TensorFlow.

    python keras_unet.py FOLDER

reads FOLDER/case.npz and FOLDER/stages.json. For every line on standard input, ``forward`` or ``step``, it
does that once and says how many seconds it took; the first forward pass is written to FOLDER/output.npy.
"""

from __future__ import annotations

import json
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


def build(stages: dict[str, Any], size: int, channels: int, conditions: int) -> tuple[Any, dict[str, Any]]:
    """Connect plain stages with all skips; gives the model and its layers with weights by name."""
    named: dict[str, Any] = {}

    def block(x: Any, part: str, layer: Any, dropout: float = 0.0) -> Any:
        named[part] = layer
        named[part.rpartition(".")[0] + ".bn"] = norm = layers.BatchNormalization()
        x = layers.ReLU()(norm(layer(x)))
        return layers.Dropout(dropout)(x) if dropout else x

    image, vector = layers.Input((size, size, channels)), layers.Input((conditions,))
    x, outputs = image, []
    for number, (filters, kernel) in enumerate(stages["encoder"]):
        x = block(x, f"down.{number}.conv", layers.Conv2D(filters, kernel, 2, padding="same"))
        outputs.append(x)
    x = layers.Concatenate()([x, layers.Reshape((1, 1, conditions))(vector)])
    for number, (filters, kernel) in enumerate(stages["decoder"]):
        if number:
            x = layers.Concatenate()([x, outputs[-1 - number]])
        layer = layers.Conv2DTranspose(filters, kernel, 2, padding="same")
        x = block(x, f"up.{number}.convt", layer, 0.3 if number < 3 else 0.0)
    named["last"] = layers.Conv2DTranspose(2, 4, 2, padding="same")
    y = layers.Activation("tanh", dtype="float32")(named["last"](x))
    return keras.Model([image, vector], y), named


def main() -> None:
    """Serve runs."""
    folder = Path(sys.argv[1])
    stages = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    case = dict(np.load(folder / "case.npz"))
    tf.config.threading.set_intra_op_parallelism_threads(stages["threads"])
    if stages["precision"] == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    given = [tf.constant(case[name]) for name in ("stack", "vector", "target")]
    model, named = build(stages, given[0].shape[1], given[0].shape[-1], given[1].shape[-1])
    for name, layer in named.items():
        leaves = ["kernel", "bias"]
        if name.endswith(".bn"):
            leaves = ["gamma", "beta", "moving_mean", "moving_var"]
        layer.set_weights([case[f"{name}.{leaf}"] for leaf in leaves])
    optimiser = keras.optimizers.AdamW(1e-4, weight_decay=0.0, epsilon=1e-7)

    @tf.function
    def forward(stack: Any, vector: Any, target: Any) -> Any:
        return model([stack, vector], training=False)

    @tf.function
    def step(stack: Any, vector: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model([stack, vector], training=True) - target))
        variables = model.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    np.save(folder / "output.npy", forward(*given).numpy())
    step(*given)
    for line in sys.stdin:
        work = forward if line.strip() == "forward" else step
        began = time.perf_counter()
        work(*given).numpy()
        sys.stdout.write(f"{time.perf_counter() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
