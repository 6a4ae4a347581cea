"""The sets that ship with the package: real items, real frozen encoders, small enough for a laptop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gera_jax.checks import require_known
from gera_jax.config.schema import BUNDLED, Source
from gera_jax.data.formats import NpzSource
from gera_jax.data.tables import Table

FILES = Path(__file__).with_name("files")


@dataclass(frozen=True)
class CatalogEntry:
    """What a bundled set is.

    Args:
      source: the modalities, their recommended preprocessing and the field that look-alikes share.
      keys: the array of each modality in `file`.
      captions: for each modality the field of `Table.meta` that says in words what a row is.
    """

    description: str
    file: str
    source: Source
    keys: dict[str, str]
    id_field: str
    captions: dict[str, str]
    licence: str
    encoders: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The two or three modalities, x, y and w."""
        return self.source.names

    @property
    def group_key(self) -> str:
        """The field of `Table.meta` that look-alikes share, for a grouped split."""
        return self.source.group_key

    @property
    def preprocess(self) -> Mapping[str, Mapping[str, bool]]:
        """The recommended preprocessing of each modality."""
        return self.source.preprocess


LITE0 = "EfficientNet-Lite0, ImageNet-supervised, average pool"
DINO = "DINOv2-S/14, CLS token"
MINILM = "MiniLM-L6-v2, mean pool"
OPENMOJI = "MIT (Fluent emoji, emojibase); names: Unicode data"


def _clipart(name: str, image: str, encoder: str) -> CatalogEntry:
    return CatalogEntry(
        description="3,012 Open Clip Art pictures x their titles and keywords",
        file="clipart_image_text.npz",
        source=BUNDLED[name],
        keys={"image": image, "text": "text"},
        id_field="id",
        captions={"image": "id", "text": "caption"},
        licence="public domain (Open Clip Art 0.18)",
        encoders={"image": encoder, "text": MINILM},
    )


def _emoji(name: str, **fields: Any) -> CatalogEntry:
    file = "emoji_image_text_speech.npz"
    return CatalogEntry(file=file, source=BUNDLED[name], id_field="id", licence=OPENMOJI, **fields)


def _molecule(name: str, description: str) -> CatalogEntry:
    return CatalogEntry(
        description=description,
        file=f"{name.replace('molecule', 'molecule_name')}.npz",
        source=BUNDLED[name],
        keys={"molecule": "molecule", "text": "text"},
        id_field="cas",
        captions={"molecule": "smiles", "text": "iupac"},
        licence="MIT (PyPI package chemicals 1.5.2)",
        encoders={"molecule": "MiniMol", "text": MINILM},
    )


_ENTRIES: dict[str, CatalogEntry] = {
    "clipart": _clipart("clipart", "image", LITE0),
    "clipart_dinov2": _clipart("clipart_dinov2", "image_dinov2s", DINO),
    "emoji": _emoji(
        "emoji",
        description="1,646 Fluent 3-D emoji x their Unicode names and tags",
        keys={"image": "image_fluent", "text": "text"},
        captions={"image": "spoken", "text": "caption"},
        encoders={"image": LITE0, "text": MINILM},
    ),
    "emoji_speech": _emoji(
        "emoji_speech",
        description="1,646 emoji names spoken by 8 synthetic voices x the written names",
        keys={"speech": "speech", "text": "text_label"},
        captions={"speech": "spoken", "text": "spoken"},
        encoders={"speech": "Whisper base encoder, mean over frames", "text": MINILM},
    ),
    "emoji_speech_image": _emoji(
        "emoji_speech_image",
        description="1,646 emoji names spoken by 8 synthetic voices x the Fluent 3-D pictures",
        keys={"speech": "speech", "image": "image_fluent"},
        captions={"speech": "spoken", "image": "spoken"},
        encoders={"speech": "Whisper base encoder, mean over frames", "image": LITE0},
    ),
    "emoji3": _emoji(
        "emoji3",
        description="1,646 Fluent 3-D emoji x their Unicode names and tags x their names spoken by 8 synthetic voices",
        keys={"image": "image_fluent", "text": "text", "speech": "speech"},
        captions={"image": "spoken", "text": "caption", "speech": "spoken"},
        encoders={"image": LITE0, "text": MINILM, "speech": "Whisper base encoder, mean over frames"},
    ),
    "molecule": _molecule("molecule", "3,000 molecules x the 2,912 IUPAC names that they have (88 have none and stay unpaired)"),
    "molecule_large": _molecule(
        "molecule_large", "6,000 more molecules x their IUPAC names, none of them in molecule; rows in random order"
    ),
}


@dataclass(frozen=True)
class GroundingEntry:
    """What a bundled set of recordings is: clips, sentences about them and where each is true."""

    description: str
    file: str
    licence: str
    encoders: dict[str, str]


GROUNDING: dict[str, GroundingEntry] = {
    "phrases": GroundingEntry(
        description="300 recordings of 24-30 s, 4,641 spoken phrases (emoji names) and where each is said",
        file="phrase_grounding.npz",
        licence="MIT (emojibase), Unicode data; voices made with espeak-ng and flite",
        encoders={"clips": "Whisper base encoder, means over 64 equal parts of the recording", "sentence": MINILM},
    ),
}


def names() -> tuple[str, ...]:
    """Names of the bundled sets.

    >>> names()
    ('clipart', 'clipart_dinov2', 'emoji', 'emoji_speech', 'emoji_speech_image', 'emoji3', 'molecule', 'molecule_large')
    """
    return tuple(_ENTRIES)


def info(name: str) -> CatalogEntry:
    """Modalities, captions, group key, recommended preprocessing and licence of a bundled set.

    Raises:
      InputError: an unknown name.

    >>> info("emoji_speech").names, info("emoji_speech").preprocess["speech"]["standardize"]
    (('speech', 'text'), True)
    """
    require_known(name, _ENTRIES, "catalog name")
    return _ENTRIES[name]


def load(name: str) -> tuple[Table, ...]:
    """The tables (x, y) or (x, y, w) of a bundled set, float16 rows, ids and words a row.

    Every row's meta holds the fields that `info(name).captions` and `info(name).group_key` name.

    Raises:
      InputError: an unknown name.

    >>> x, y = load("molecule")
    >>> x, len(y)
    (Table(molecule: 3000 x 512 float16, ids 132299-20-8 ... 10519-12-7), 2912)
    """
    entry = info(name)
    source = NpzSource(FILES / entry.file)
    meta = source.meta("") or []
    if "speech_meta" in source.keys:
        meta = [{**row, **voice} for row, voice in zip(meta, source.meta("speech") or [], strict=True)]
    group = GROUPS[entry.group_key]
    meta = [{**row, entry.group_key: group(row)} for row in meta]
    ids = [row[entry.id_field] for row in meta]
    tables = []
    for modality in entry.names:
        table = Table(source.array(entry.keys[modality]), ids, modality, meta)
        # A molecule without a name has the embedding of the empty string: that is no text, so it is no row.
        empty = [i for i, row in enumerate(meta) if not row[entry.captions[modality]]]
        tables.append(table.without(empty) if empty else table)
    return tuple(tables)


COLOURS = r"\b(black|blue|brown|gray|green|grey|orange|pink|purple|red|white|yellow)\b"
PEOPLE = r"\b(man|men|woman|women|person|people|boy|girl|child)\b"


def _stem(row: dict[str, Any]) -> str:
    """Folder and title without counters and colours: "clock 01" and "clock 02" of a folder are one."""
    title = row["caption"].partition(":")[0].lower()  # the file name would also carry its author, cut at any letter
    words = re.sub(COLOURS, " ", re.sub(r"[\W\d_]+", " ", title)).split()
    return f"{row['cat']}/{' '.join(words) or title}"


def _concept(row: dict[str, Any]) -> str:
    """The name without who does it: man, woman and person variants, couples and kisses are one concept."""
    label = row["spoken"].lower()
    head, _, tail = label.partition(": ")
    if head in ("kiss", "couple with heart", "family", "handshake"):
        return head
    words = re.sub(r"\bmer(man|maid|person)\b", "merperson", label if head in ("flag", "keycap") else f"{head} {tail}")
    return " ".join(re.sub(PEOPLE, " ", words).split()) or "person"


def _skeleton(row: dict[str, Any]) -> str:
    """The SMILES string without stereo marks: stereo isomers are look-alikes."""
    return re.sub(r"\[([BCNOPSbcnops])H?\]", r"\1", re.sub(r"[@/\\]", "", row["smiles"]))


GROUPS = {"stem": _stem, "concept": _concept, "skeleton": _skeleton}
