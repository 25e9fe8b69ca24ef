"""Helpers of these tests lie beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from terradelta.cli import main

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process; gives what it printed."""

    def run(*arguments: Any, code: int = 0) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(one) for one in arguments])
        out, err = capfd.readouterr()
        assert int(stop.value.code or 0) == code, (out, err)
        assert "Traceback" not in err
        return out + err

    return run
