"""`python -m terradelta`."""

from __future__ import annotations

from terradelta.cli import main

if __name__ == "__main__":
    main()
