"""The experiment on small made-up patches, piece by piece, and on the real series."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from scipy import ndimage

from terradelta.errors import SourceError, StorageError
from terradelta.evaluate import auc, opera
from terradelta.evaluate.opera.methods import METHODS, Case, images_of, score_all
from terradelta.evaluate.opera.patches import Patch, load_patch
from terradelta.evaluate.opera.protocol import Protocol, disc_mask, large_change
from terradelta.evaluate.opera.table import markdown
from terradelta.evaluate.opera.writing import write_report
from terradelta.expected import RobustParameters, robust_difference
from terradelta.sar import to_db, to_linear
from terradelta.types import Size

SIDE, DATES = 48, 13
DAYS = tuple(str(date(2024, 1, 1) + timedelta(12 * number)) for number in range(DATES))
SMALL = Protocol(
    stable=("T137-000001-IW2", "T137-000002-IW2"),
    changed="T137-000003-IW2",
    dates=DATES,
    targets=(10, 11, 12),
    radius=(5, 7),
    wet=(DAYS[11],),
    rain=DAYS[11],
    large_history=tuple(range(10)),
    large_targets=(10, 12),
)


def made_up(seed: int, *, changed: bool) -> np.ndarray:
    """Two kinds of ground, rain at date 11 that brightens one more than the other, and speckle."""
    rng = np.random.default_rng(seed)
    kind = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    kind = kind / kind.std()
    level = np.stack([-10 + 1.5 * kind, -16 + 1.5 * kind])
    series = np.repeat(level[None], DATES, axis=0)
    series[11] += 3 - kind
    if changed:
        series[10:, :, :16] -= 4
    linear = to_linear(series) * rng.gamma(8, 1 / 8, series.shape)
    linear[:, :, -1, -1] = 0
    return linear.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("series")
    for seed, name in enumerate((*SMALL.stable, SMALL.changed)):
        linear = made_up(seed, changed=name == SMALL.changed)
        for band, label in enumerate(("VV", "VH")):
            options = {"driver": "GTiff", "count": DATES, "height": SIDE, "width": SIDE, "dtype": "float32"}
            place = {"crs": "EPSG:32611", "transform": from_origin(3e5 + 9e3 * seed, 3.9e6, 30, 30)}
            with rasterio.open(path / f"{name}_{label}.tif", "w", **options, **place) as file:
                file.write(linear[:, band])
                for number, day in enumerate(DAYS, 1):
                    file.set_band_description(number, f"{day}T01:59:00Z")
                    file.update_tags(number, satellite="S1A")
    return path


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new"
    return opera.run(folder, out, protocol=SMALL), out


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr("terradelta.evaluate.opera.picture.draw", lambda report: b"")


def test_patches_come_in_order_with_zeros_as_no_data(folder):
    patch = load_patch(folder, SMALL.stable[1], DATES)
    expected = made_up(1, changed=False)
    assert (patch.days, patch.bands, patch.size) == (DAYS, ("VV", "VH"), Size(SIDE, SIDE))
    np.testing.assert_array_equal(patch.linear, np.where(expected == 0, np.nan, expected))
    with pytest.raises(SourceError, match="has 13 dates"):
        load_patch(folder, SMALL.stable[1], 31)
    with pytest.raises(SourceError, match="T137-999999"):
        load_patch(folder, "T137-999999-IW2", DATES)


def test_discs_are_seeded_apart_and_of_the_right_size():
    protocol, seen = Protocol(), set()
    for patch in range(3):
        for target in protocol.targets:
            mask = disc_mask(protocol, Size(100, 100), 0, patch, target)
            np.testing.assert_array_equal(mask, disc_mask(protocol, Size(100, 100), 0, patch, target))
            labels, count = ndimage.label(mask)
            radii = np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
            assert count == 3 and radii.min() > 5.5 and radii.max() < 11.5
            seen.add(mask.tobytes())
    assert len(seen) == 33
    assert disc_mask(protocol, Size(100, 100), 1, 0, 20).tobytes() not in seen


def test_the_large_change_leaves_wet_dates_out_and_the_edge_open():
    decibel = np.full((DATES, 2, 20, 20), -12.0)
    decibel[10:, 1, :10] -= 4
    decibel[11] += 30
    decibel[:, :, 15, 3] = np.nan
    patch = Patch("p", DAYS, ("VV", "VH"), to_linear(decibel))
    changed, unchanged = large_change(patch, SMALL)
    assert changed[:9].all() and not changed[10:].any()
    assert unchanged[12:].sum() == 8 * 20 - 1 and not unchanged[15, 3] and not unchanged[:11].any()
    assert not (changed & unchanged).any()


def slow_scores(case: Case) -> dict[str, np.ndarray]:
    """The plain methods, written out pixel by pixel."""
    scores = {}
    pairs = {
        "raw": (case.target.decibel, case.history.decibel),
        "smooth": (case.target.smooth, case.history.smooth),
    }
    new, old = (np.array(images, np.float64) for images in pairs["smooth"])
    for image in (new, *old):
        for band in image:
            band -= np.nanmedian(band)
    pairs["median"] = (new, old)
    for name, (target, history) in pairs.items():
        bands, rows, columns = target.shape
        found = {key: np.zeros((rows, columns)) for key in ("last", "mean4", "mean10", "z")}
        for band, row, column in np.ndindex(bands, rows, columns):
            now, before = target[band, row, column], history[:, band, row, column].astype(np.float64)
            known = before[np.isfinite(before)]
            found["last"][row, column] += (now - before[-1]) ** 2
            found["mean4"][row, column] += (now - np.mean(before[-4:][np.isfinite(before[-4:])])) ** 2
            found["mean10"][row, column] += (now - known.mean()) ** 2
            found["z"][row, column] += ((now - known.mean()) / max(known.std(ddof=1), 0.1)) ** 2
        scores |= {f"{key}-{name}": np.sqrt(values) for key, values in found.items()}
    return scores


def test_the_plain_methods_equal_their_slow_versions_and_robust_is_the_library_s():
    linear = made_up(5, changed=True)[:11, :, 8:32, :24]
    linear[4, 0, 3, 3] = np.nan
    images = images_of(linear, RobustParameters())
    case = Case(images.at(10), images.at(list(range(10))), 8.0)
    scores = score_all(case, RobustParameters())
    assert list(scores) == list(METHODS)
    for key, expected in slow_scores(case).items():
        np.testing.assert_allclose(scores[key], expected, rtol=2e-3, atol=2e-4, err_msg=key)
    robust = robust_difference(to_db(linear[10]), to_db(linear[:10]))[1]
    np.testing.assert_array_equal(scores["robust"], robust)
    mask = np.zeros((24, 24), bool)
    mask[:8] = True
    assert all(np.median(score[mask]) > np.median(score[~mask]) for score in (scores["omnibus"], robust))


def test_the_small_run_counts_as_the_protocol_says(result):
    report, _ = result
    robust, plain = report.methods["robust"], report.methods["mean10-smooth"]
    for figures in report.methods.values():
        assert {name: list(days) for name, days in figures.auc.items()} == {
            name: list(DAYS[10:]) for name in SMALL.stable
        }
        assert [list(days) for days in figures.found.values()] == [[DAYS[10], DAYS[12]]] * 2
        assert list(figures.large) == [DAYS[10], DAYS[12]]
    assert robust.mean_auc > 0.97 and robust.mean_auc > plain.mean_auc
    assert robust.mean_rain < 0.2 < plain.mean_rain
    assert robust.mean_large > 0.97
    assert robust.mean_auc == pytest.approx(np.mean([list(days.values()) for days in robust.auc.values()]))
    discs = report.examples[0]
    assert auc(discs.truth, discs.relative["robust"]) == robust.auc[SMALL.stable[0]][DAYS[10]]


def test_the_table_has_every_row_once_and_the_best_figures_bold(result):
    report, out = result
    text = markdown(report)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(METHODS) + 2
    assert len({row.count("|") for row in rows}) == 1
    assert sum("not computed here" in row for row in rows) == 2
    best = max(figures.mean_auc for figures in report.methods.values())
    assert f"**{best:.4f}**" in text
    assert (out / "opera.md").read_text() == text


def test_the_files_are_whole_and_hold_every_figure(result):
    report, out = result
    assert sorted(path.name for path in out.iterdir()) == ["opera.json", "opera.md", "opera.png"]
    figures = json.loads((out / "opera.json").read_text())
    assert figures["methods"]["robust"]["single"]["auc"] == report.methods["robust"].auc
    assert figures["protocol"]["rain"] == SMALL.rain and figures["seed"] == 0
    assert (out / "opera.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_figures_and_another_seed_other_discs(folder, tmp_path, no_picture):
    tiny = replace(SMALL, stable=SMALL.stable[:1], targets=(11, 12), large_targets=(12,))
    first, again, other = (
        opera.run(folder, tmp_path, protocol=tiny, seed=seed).methods["robust"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first.auc != other.auc and first.large == other.large and first.threshold == other.threshold


def test_bad_places_are_refused_in_one_line(result, tmp_path, no_picture):
    with pytest.raises(SourceError, match="does not exist"):
        opera.run(tmp_path / "nowhere", tmp_path / "out", protocol=SMALL)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        write_report(result[0], tmp_path / "file" / "out")


def test_a_failed_write_leaves_the_earlier_file_and_no_remains(result, tmp_path, monkeypatch, no_picture):
    (tmp_path / "opera.json").write_text("earlier")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "opera.json"))

    monkeypatch.setattr("terradelta.evaluate.opera.writing.os.fsync", full)
    with pytest.raises(StorageError, match="no room"):
        write_report(result[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["opera.json"]
    assert (tmp_path / "opera.json").read_text() == "earlier"


@pytest.mark.slow
def test_the_robust_method_reaches_its_figures_on_the_real_series(shared, tmp_path):
    steps = []

    class Step:
        def __init__(self, label, total):
            steps.append(-total)

        def __enter__(self):
            return steps.append

        def __exit__(self, *error):
            return None

    report = opera.run(shared / "data" / "opera_rtc_s1_t137", tmp_path, progress=Step)
    robust = report.methods["robust"]
    assert robust.mean_auc >= 0.997
    assert robust.mean_rain <= 0.025
    assert robust.mean_large >= 0.995
    plain = [figures for figures in report.methods.values() if figures.group in ("plain", "test")]
    assert robust.mean_auc > max(figures.mean_auc for figures in plain) + 0.01
    assert robust.mean_rain < min(figures.mean_rain for figures in plain)
    assert robust.mean_found > 0.97
    assert sum(steps) == 0
