"""The command line: `gera-jax` and `python -m gera_jax`."""

from gera_jax.cli.main import main

__all__ = ["main"]
