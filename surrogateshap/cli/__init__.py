"""The command line. stdout is data, stderr is narration."""

from surrogateshap.cli.main import main

__all__ = ["main"]
