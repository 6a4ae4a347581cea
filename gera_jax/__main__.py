"""`python -m gera_jax` is `gera-jax`."""

import sys

from gera_jax.cli.main import main

sys.exit(main())
