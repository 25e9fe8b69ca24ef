"""A year of 256 x 256 pixels is a matter of seconds."""

from __future__ import annotations

import time

import pytest

from terradelta.simulate import ORBITS, place


@pytest.mark.slow
def test_a_year_takes_seconds_and_float32() -> None:
    begin = time.process_time()
    tree = place(0, years=1, orbits=ORBITS[1:3])
    taken = time.process_time() - begin
    assert tree["sar"].sizes["time"] >= 60
    assert tree["sar"]["backscatter"].dtype == "float32"
    # three seconds on an idle core; room for a busy machine
    assert taken < 6
