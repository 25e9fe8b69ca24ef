"""`terradelta doctor`."""

from __future__ import annotations

import typer

__all__ = ["doctor"]


def doctor() -> None:
    """Check what this machine has; exit code 1 if something is missing."""
    from terradelta.workflows.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.good else 'FAIL'}  {finding.what:<22} {finding.text}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
