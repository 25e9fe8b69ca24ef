"""From an outline to a cube: what is asked for, what the sources have, what comes of it."""
