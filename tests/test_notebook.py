"""Every notebook is its script, and runs from top to bottom."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
PRINTED = {
    "quickstart": ("ridge CCA", "true match at rank"),
    "own_embeddings": ("381 pairs; without a partner 800 rows of x", "With 200 more pairs", "(5, 384)"),
    "heat_geodesic": ("heat-geodesic distances", "of the new points", "landmarks"),
}


@pytest.mark.filterwarnings("ignore")  # of the notebook tools themselves
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_equals_its_script_and_runs(script, monkeypatch, tmp_path):
    import jupytext
    from nbclient import NotebookClient

    source = jupytext.read(script)
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in source.cells], (
        "run: make notebook"
    )
    assert "pip" in notebook.cells[1].source, "the first cell installs"
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("JAX_NUMPY_DTYPE_PROMOTION", raising=False)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    assert [words for words in PRINTED[script.stem] if words not in printed] == []
