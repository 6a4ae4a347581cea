"""Each default stands once, in the schema: what configs, checks and descriptions say is what it says."""

from __future__ import annotations

import inspect
import json

import pytest

from gera_jax import checks, cli, config
from gera_jax.config import schema
from gera_jax.config.fields import KINDS, table
from gera_jax.config.schema import Field

CONFIGS = config.names()


def leaves(block, at=""):
    for name, field in block.items():
        if isinstance(field, Field):
            yield f"{at}{name}", field
        else:
            yield from leaves(field, f"{at}{name}.")


FIELDS = [
    (f"{name}: {path}", field)
    for name, block in {**schema.TASKS, "comparison": schema.COMPARISON, "graph": schema.GRAPH}.items()
    for path, field in leaves(block)
]


def test_every_field_has_a_type_a_meaning_and_a_default_in_its_range():
    kinds = {*KINDS, dict}
    for path, field in FIELDS:
        assert type(field.default) in kinds, path
        assert len(field.meaning.split()) > 1 and not field.meaning.endswith("."), path
        empty = path.endswith((".x.name", ".y.name"))  # a modality's name comes from the source
        assert field.rule is None or empty or field.rule.holds(field.default), path


def test_base_is_made_of_the_schema_and_passes_the_checks():
    for task, block in schema.TASKS.items():
        made = config.base(task).to_dict()
        assert made == schema.defaults(block)
        made.get("data", {}).get("x", {}).update(name="x")
        made.get("data", {}).get("y", {}).update(name="y")
        config.require_fields(made)
    made = schema.defaults(schema.ALIGNMENT)
    made["model"]["options"]["dropout"] = 0.1
    assert schema.ALIGNMENT["model"]["options"].default == {}  # a fresh block each time


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model.head", "linaer", 'Did you mean "linear"'),
        ("data.unpaired", "same", 'Did you mean "same_set"'),
        ("data.split.val", 0.5, None),
        ("data.split.val", None, None),
        ("data.split.val", "auto", None),
        ("data.split.val", "all", "a number of rows, a share below 1, or None"),
        ("data.split.by", "ids", None),
        ("data.split.by", "groups", 'Did you mean "group"'),
        ("data.split.val", 2.5, "a number of rows, a share below 1, or None"),
        ("optimizer.lr", 0, "above 0"),
        ("graphs", {"x": {**schema.defaults(schema.GRAPH), "knn": 0}}, r"graphs.x.knn: got 0; wanted at least 1"),
        ("graphs", {"x": {}}, r"graphs.x.on: got no such field"),
    ],
)
def test_the_rules_of_the_schema_are_held(field, value, words):
    made = config.embedding_pair("files", x=dict(name="x"), y=dict(name="y"))
    c = config.base()
    c.data = made
    plain = c.to_dict()
    node = plain
    *path, last = field.split(".")
    for word in path:
        node = node[word]
    node[last] = value
    if words is None:
        return config.require_fields(plain)
    with pytest.raises(checks.InputError, match=words):
        config.require_fields(plain)


def test_the_words_of_the_schema_are_those_of_the_code():
    from gera_jax.config.schema import known_sources
    from gera_jax.data import Preprocessor
    from gera_jax.data.alignment import SYNTHETIC
    from gera_jax.data.catalog import names
    from gera_jax.models.two_tower import HEADS, TwoTower
    from gera_jax.moments.recordings import READERS
    from gera_jax.moments.task import STARTS as MOMENT_STARTS
    from gera_jax.training.alignment import STARTS
    from gera_jax.training.processes import MODES

    assert tuple(HEADS) == schema.HEADS and tuple(STARTS) == schema.STARTS and schema.PARALLEL.choices == MODES
    assert tuple(MOMENT_STARTS) == schema.MOMENTS_MODEL["init"].rule.choices
    assert {*READERS} == {*schema.CLIPS_DATA["annotations"]["format"].rule.choices}
    assert (*names(), *SYNTHETIC, "files", "arrays") == tuple(known_sources())
    signature = inspect.signature(Preprocessor).parameters
    assert {name: signature[name].default for name in ("center", "standardize", "pca", "l2")} == {
        name: schema.PREPROCESS[name].default for name in ("center", "standardize", "pca", "l2")
    }
    signature = inspect.signature(TwoTower).parameters
    same = ("head", "dim", "temperature", "learn_temperature", "teacher")
    assert [signature[name].default for name in same] == [schema.MODEL[name].default for name in same]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_described_config_has_each_of_its_fields_once_with_its_value_and_a_meaning(name):
    made = config.load(name)
    rows = config.describe(made)
    assert len({row.field for row in rows}) == len(rows)
    for row in rows:
        node = made.to_dict()
        for word in row.field.split("."):
            node = node[word]
        assert node == row.value and row.meaning, row
    assert sum(row.field.startswith("losses.") for row in rows) == len(made.losses)


def test_the_table_puts_what_a_config_sets_first():
    head, tail = table(config.describe(config.load("gera"))).split("defaults:")
    assert "optimizer.lr" in head and "0.0001" in head and "optimizer.lr" not in tail
    assert "euclidean | cosine" in tail and "losses.contrastive" in head


def test_the_command_prints_fields_and_names(capsys):
    assert cli.main(["config", "gera:pairs=70", "--config.optimizer.lr=0.5", "--json"]) == 0
    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["data.pairs"]["value"] == 70 and rows["optimizer.lr"]["value"] == 0.5
    assert rows["optimizer.lr"]["default"] == 0.001 and rows["tensorboard"]["choices"] == ["auto", "on", "off"]
    assert cli.main(["config"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == CONFIGS and "GeRA" in listed[CONFIGS.index("gera")]
    assert cli.main(["config", "gerra"]) == 2
    assert 'Did you mean "gera"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [name for name in CONFIGS if "data" in config.load(name) and "pair_list" in config.load(name).data]
)
def test_own_files_train_on_all_their_pairs_and_bundled_sets_on_1_000(name):
    assert config.load(name).data.pairs == 1_000
    assert config.load(f"{name}:x=a.npy,y=b.npy").data.pairs == 0
    assert config.load(f"{name}:x=a.npy,y=b.npy,pairs=7").data.pairs == config.load(f"{name}:pairs=7").data.pairs == 7
