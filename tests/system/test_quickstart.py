"""The quickstart end to end with closed forms, and the preset of the whole one."""

import shlex

import pytest

import gera_jax
from gera_jax import comparison
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison.compare import PRESETS
from gera_jax.files import read_json


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quickstart_ends_with_a_page_and_commands_that_work(tmp_path, capsys):
    out = tmp_path / "quickstart"
    assert main(["quickstart", "--smoke", "--source", "emoji", "--output", str(out)]) == 0
    shown = capsys.readouterr()
    assert "6 cells, about" in shown.err and "6/6 cells" in shown.err
    assert shown.out.splitlines()[-1] == f"Report: {out}/report.html"
    found = comparison.Comparison.from_dict(read_json(out / "results.json"))
    assert tuple(found.labels) == PRESETS["smoke"]["methods"] and found.recommended == "auto"
    page = (out / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and page.count("<figure") == 2
    sample = found.at("auto", 100)[0].examples
    assert len(sample) == 5 and len({card["query"] for card in sample}) == 5
    (fit,) = [line.strip() for line in shown.out.splitlines() if line.strip().startswith("gera-jax fit")]
    words = shlex.split(fit.replace("--method auto", "--method ridge_cca"))[1:]  # the same command, in less time
    assert main([*words[:-1], str(tmp_path / "winner")]) == 0


def test_presets_name_methods_there_are():
    for preset in PRESETS.values():
        names = preset.get("methods", ("auto",))
        assert set(names) <= set(comparison.methods()) and names[0] == "auto"


def test_a_preset_gives_what_is_not_given(monkeypatch):
    asked = []
    monkeypatch.setattr("gera_jax.comparison.compare.run_compare", lambda task, **options: asked.append(options))
    gera_jax.compare("emoji", config="quick")
    gera_jax.compare("emoji", config="quick", seeds=2, methods=["asif"], counts=(30,))
    gera_jax.compare("emoji")
    quick, mixed, plain = asked
    assert (quick["seeds"], quick["budget"], quick["counts"], quick["preset"]) == (3, 2, (20, 100, 1000), "quick")
    assert quick["methods"] == PRESETS["quick"]["methods"]
    assert (mixed["seeds"], mixed["budget"], mixed["counts"], mixed["methods"]) == (2, 2, (30,), ["asif"])
    assert (plain["seeds"], plain["budget"], plain["counts"], plain["methods"]) == (5, 4, (), ())
    with pytest.raises(InputError, match='preset: got "quik"; wanted a known name. Did you mean "quick"'):
        gera_jax.compare("emoji", config="quik")
