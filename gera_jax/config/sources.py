"""The bundled sets as far as a config needs them: names of the modalities, recommended preprocessing, groups of look-alikes.

`gera_jax.data.catalog` has everything else about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CENTRED = dict(center=True, standardize=False)
STANDARDIZED = dict(center=True, standardize=True)


class Source(NamedTuple):
    """A bundled set.

    Args:
      preprocess: modality -> its recommended preprocessing, in the order x, y and w.
      group_key: the field of `Table.meta` that look-alikes share, for a split by groups.
      pairs: how many known pairs are used where a config's argument leaves their number open.
    """

    preprocess: Mapping[str, Mapping[str, bool]]
    group_key: str
    pairs: int = 1_000

    @property
    def names(self) -> tuple[str, ...]:
        """The two or three modalities."""
        return tuple(self.preprocess)


BUNDLED = {
    "clipart": Source(dict(image=CENTRED, text=CENTRED), "stem"),
    "clipart_dinov2": Source(dict(image=CENTRED, text=CENTRED), "stem"),
    "emoji": Source(dict(image=CENTRED, text=CENTRED), "concept", 800),
    "emoji_speech": Source(dict(speech=STANDARDIZED, text=CENTRED), "concept", 800),
    "emoji_speech_image": Source(dict(speech=STANDARDIZED, image=CENTRED), "concept", 800),
    "emoji3": Source(dict(image=CENTRED, text=CENTRED, speech=STANDARDIZED), "concept", 800),
    "molecule": Source(dict(molecule=STANDARDIZED, text=CENTRED), "skeleton"),
    "molecule_large": Source(dict(molecule=STANDARDIZED, text=CENTRED), "skeleton"),
}
MADE = ("sphere", "swiss_roll", "gaussian_mixture")  # drawn when they are asked for; see `gera_jax.data.synthetic`


def known_sources() -> list[str]:
    """Every word that `data.source` may be.

    >>> known_sources()[-2:]
    ['files', 'arrays']
    """
    return [*BUNDLED, *MADE, "files", "arrays"]
