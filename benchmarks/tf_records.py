"""TensorFlow's own reader of the published files, all features parsed: prints seconds per sample, one a line.

Run by `bench_tfrecord.py` with a Python that has TensorFlow.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tensorflow as tf

FLOATS = ("dem_rast", "forestmask", "input_image_stack", "target_image")
AXES = ("temperatures", "snow_depths", "platform_headings", "incidence_angles", "precipitations")
DOUBLES = (*(f"input_image_{name}" for name in AXES), "target_image_precipitations")
STRINGS = tuple(f"input_image_{name}" for name in ("mission_ids", "start_times", "data_take_ids"))
TEXTS = ("image_location", "target_image_mission_id", "target_image_start_time", "target_image_data_take_id")
SCALARS = ("temperature", "snow_depth", "platform_heading", "incidence_angle")


def main(path: str, change: bool, repeat: int) -> None:
    """Read a file several times."""
    tensors = dict.fromkeys(FLOATS, tf.float32) | dict.fromkeys(DOUBLES, tf.float64)
    tensors |= dict.fromkeys(STRINGS, tf.string)
    plain = dict.fromkeys(TEXTS, tf.string) | {f"target_image_{name}": tf.float32 for name in SCALARS}
    if change:
        tensors |= {"simulated_change_mask": tf.int32, "img_superpixel_map": tf.int64}
        tensors |= dict.fromkeys(("simulated_change_image", "target_image_prediction"), tf.float32)
        plain |= {"img_superpixel_sets": tf.string, "num_simulated_changes": tf.int64}
    kinds = dict.fromkeys(tensors, tf.string) | plain
    features = {name: tf.io.FixedLenFeature((), kind) for name, kind in kinds.items()}

    def parse(data: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.io.parse_single_example(data, features)
        return {k: tf.io.parse_tensor(v, tensors[k]) if k in tensors else v for k, v in found.items()}

    dataset = tf.data.TFRecordDataset([path], compression_type="GZIP").map(parse)
    for _ in range(repeat):
        start = time.perf_counter()
        count = sum(1 for _ in dataset)
        print((time.perf_counter() - start) / count, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "change", int(sys.argv[3]))
