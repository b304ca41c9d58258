"""The notebooks run as scripts and print correct results; a page shows the output of each cell."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mematlas
from mematlas import experiments
from mematlas.analyses import recount

pytest.importorskip("marimo", reason='notebooks need pip install "mematlas[notebooks]"')
pytest.importorskip("altair")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "MARIMO_SKIP_UPDATE_CHECK": "1"}


def load(path: Path) -> ModuleType:
    """A Python file of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
    return module


RENDERED = load(ROOT / "docs" / "rendered.py")
OTHER_MODULES = load(ROOT / "docs" / "generated.py").OTHER_MODULES


def run_script(name: str, folder: Path, *arguments: str) -> str:
    """The output of the notebook, run as a script in `folder`; no warning may come from our code."""
    completed = subprocess.run(
        [sys.executable, "-W", "always", str(ROOT / "notebooks" / f"{name}.py"), "--", *arguments],
        cwd=folder,
        env=os.environ | QUIET | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr
    warnings = re.findall(r"^.*(?:notebooks|mematlas)/[\w/]+\.py:\d+: \w*Warning.*$", completed.stderr, re.MULTILINE)
    assert warnings == []
    return completed.stdout


# ---------------------------------------------------------------------------------------------------------- scripts


def test_the_leak_is_found_where_it_was_planted(tmp_path):
    output = run_script("leak", tmp_path, "--out", "kept")
    train, control = re.findall(r"([\d.]+)% \(([\d.]+)% to ([\d.]+)%\) of 96", output)
    assert control == ("0.0", "0.0", "3.8")  # Wilson's upper end: z^2 / (n + z^2)
    assert float(train[1]) > float(control[2])
    shown = {int(times): int(hits) for times, hits in re.findall(r"shown +(\d+) times \(\w+\): (\d+) of", output)}
    assert sorted(shown) == [0, 1, 4, 16, 64]
    assert shown[0] == 0
    assert shown[1] <= 2  # of 24
    assert shown[64] >= 20  # of 24
    assert float(train[0]) == pytest.approx(100 * sum(shown.values()) / 96, abs=0.05)
    gallery = re.findall(r"row \d+ of \w+\.py, shown (\d+) times, (\d+) of 32 tokens correct: ['\"]", output)
    assert len(gallery) == 5
    assert all(int(matches) >= 16 for _, matches in gallery)
    assert gallery == sorted(gallery, key=lambda row: int(row[0]))
    auroc, bag_of_words = re.findall(r"AUROC ([\d.]+) .*bag of words without a model reaches ([\d.]+) ", output)[0]
    assert float(auroc) > 0.8
    assert 0.3 < float(bag_of_words) < 0.7  # the control is of the same kind
    assert mematlas.open_study(tmp_path / "kept" / "study").scores().height == 192


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which the atlas notebook created its own study, and what it printed."""
    folder = tmp_path_factory.mktemp("atlas")
    return folder, run_script("atlas", folder, "--out", "created")


def test_the_atlas_shows_what_its_stand_ins_know(atlas):
    _, output = atlas
    train = re.findall(r"^(parrot-\d+), train: ([\d.]+)% of 96 rows", output, re.MULTILINE)
    assert train == [("parrot-64", "15.6"), ("parrot-65", "34.4"), ("parrot-66", "56.2")]  # 15, 33, 54
    assert len(re.findall(r"control: 0\.0% of 48 rows", output)) == 3
    assert "18 of 18 shares recomputed, largest difference 0.0e+00" in output
    assert "Exported: shares.csv, shares.tex" in output


def test_the_atlas_opens_the_study_that_is_named(atlas, tmp_path):
    folder, output = atlas
    assert run_script("atlas", tmp_path, "--study", str(folder / "created" / "study")) == output
    assert not list(tmp_path.glob("atlas-*/study"))


# ------------------------------------------------------------------------------------------------------ public names


def imports_of(path: Path) -> list[tuple[str, str]]:
    """(module of mematlas, name) of every import in the file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return [
        (node.module or "", name.name) for node in imports for name in node.names if "mematlas" in (node.module or "")
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_documented_names_are_imported(path):
    public = {
        "mematlas": {*mematlas.__all__, "recount"},
        "mematlas.analyses.recount": set(recount.__all__),
        "mematlas.experiments": set(experiments.__all__),
    }
    public |= {module: public.get(module, set()) | set(names) for module, names in OTHER_MODULES.items()}
    imports = imports_of(path)
    assert len(imports) >= 2
    assert [(module, name) for module, name in imports if name not in public.get(module, ())] == []


# -------------------------------------------------------------------------------------------------------- as a page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_except_the_one_that_defines_the_folder_is_on_the_page(path):
    cells = RENDERED.cells(path)
    count = path.read_text(encoding="utf-8").count("@app.cell")
    assert len(cells) == count  # one cell is left out, the imports are one more
    assert all(code.startswith("mo.md(") for code, is_hidden in cells if is_hidden)
    assert not any("return" in code.splitlines()[-1] for code, _ in cells)


def test_what_a_cell_shows_becomes_markdown():
    import altair as alt
    import marimo as mo
    import polars as pl

    assert RENDERED.to_markdown(mo.md("  **bold**")) == "**bold**"
    assert "<b>x</b></div>" in RENDERED.to_markdown(mo.Html("<b>x</b>"))
    table = RENDERED.to_markdown(pl.DataFrame({"a": [0.5, None]}))
    assert [line.strip() for line in table.splitlines()] == ["| a     |", "|-------|", "| 0.500 |", "| null  |"]
    chart = alt.Chart(pl.DataFrame({"x": [1]}), description='"words"').mark_point().encode(x="x:Q")
    assert 'alt="&quot;words&quot;" src="data:image/svg+xml;base64,' in RENDERED.to_markdown(chart)
    with pytest.raises(TypeError, match="a page cannot show int: end the cell with text, a data frame, a chart or mo"):
        RENDERED.to_markdown(3)


def test_a_notebook_that_did_not_change_is_not_run_again(tmp_path):
    path = tmp_path / "notebooks" / "one.py"
    path.parent.mkdir()
    cell = '@app.cell\ndef _():\n    mo.md("{text}")\n    return\n'
    cell = f"import marimo\napp = marimo.App()\n\nwith app.setup:\n    import marimo as mo\n\n{cell}"
    path.write_text(cell.format(text="first"))
    assert RENDERED.notebook(path).endswith("\n\nfirst")
    (cached,) = (tmp_path / ".cache" / "notebooks").iterdir()
    cached.write_text("cached")
    assert RENDERED.notebook(path) == "cached"
    path.write_text(cell.format(text="second"))
    assert RENDERED.notebook(path).endswith("\n\nsecond")
