"""The quickstart end to end, in a few steps."""

import pytest

import gera_jax


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quickstart_measures_every_method_and_writes_one_page(tmp_path):
    results = gera_jax.quickstart(tmp_path, pairs=(60,), smoke=True, progress=False)
    assert {row.label for row in results.rows} == {
        "procrustes",
        "ridge CCA",
        "ASIF",
        "gera, from ridge_cca",
        "gera, from random",
        "contrastive, from ridge_cca",
        "contrastive, from random",
    }
    assert all(0 <= row.metrics["foscttm"] <= 0.6 for row in results.rows)
    assert len(results.examples) == 5 and results.examples[0]["rank"] == 1
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and page.count("<figure") >= 3
