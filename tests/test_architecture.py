"""The rules of tools/structure.py hold, and each detects a planted violation; what `import mematlas` may load."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import structure

import mematlas

SOURCE = Path(mematlas.__file__).parent
TESTS = Path(__file__).parent
#: Libraries that `import mematlas` and `mematlas --help` must not load.
HEAVY = (
    *("torch", "transformers", "tokenizers", "polars", "pyarrow", "altair", "vl_convert", "jinja2", "ray"),
    *("numba", "pydivsufsort", "sklearn", "umap", "upath", "fsspec"),
)


def planted(folder: Path, **files: str) -> Path:
    """A package whose subpackages contain one file each."""
    folder.mkdir(exist_ok=True)
    for room, text in files.items():
        (folder / room).mkdir()
        (folder / room / "__init__.py").write_text("")
        (folder / room / "thing.py").write_text(text)
    return folder


def test_nothing_breaks_a_rule_of_the_structure():
    assert structure.complaints(SOURCE) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("from mematlas.models.base import Model", "corpus.thing:1 imports models, which is not below corpus"),
        ("def late():\n    from mematlas import models", "corpus.thing:2 imports models, which is not below corpus"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mematlas.models.thing",
            "corpus.thing:3 imports models, which is not below corpus",
        ),
        ("def late():\n    import ray", "corpus.thing:2 imports ray, which is for executors.ray"),
        ("import altair as alt", "corpus.thing:1 imports altair, which is for report"),
        ("from ..models import base", "corpus.thing:1 imports ..models.base relatively"),
    ],
)
def test_a_planted_forbidden_import_is_seen(tmp_path, text, complaint):
    package = planted(tmp_path, corpus=text, models="import torch")
    assert structure.forbidden_imports(structure.modules(package)) == [complaint]


def test_a_planted_import_of_a_lower_layer_is_allowed(tmp_path):
    package = planted(tmp_path, corpus="from mematlas.study.thing import x", study="x = 1")
    assert structure.complaints(package) == []


def test_a_planted_unknown_room_is_seen(tmp_path):
    known = structure.modules(planted(tmp_path, cellar=""))
    assert "cellar: the room cellar is in no layer" in structure.forbidden_imports(known)


@pytest.mark.parametrize(
    "back",
    [
        "from mematlas.models.thing import y",
        "def late():\n    from mematlas.models.thing import y",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mematlas.models.thing import y",
    ],
)
def test_a_planted_cycle_of_any_kind_is_seen(tmp_path, back):
    package = planted(tmp_path, corpus=back, models="import mematlas.corpus.thing")
    known = structure.modules(package)
    assert structure.cycles(known) == ["corpus.thing -> models.thing -> corpus.thing"]
    assert "import cycle: corpus.thing -> models.thing -> corpus.thing" in structure.complaints(package)


def test_a_planted_late_import_must_keep_something_heavy_out_of_start_up(tmp_path):
    late = "def use():\n    from mematlas.io.thing import x"
    needless = structure.needless_late_imports(structure.modules(planted(tmp_path / "a", corpus=late, io="x = 1")))
    assert needless == [
        "corpus.thing:2 imports mematlas.io.thing.x inside a function, though it loads no heavy library"
    ]
    known = structure.modules(planted(tmp_path / "b", corpus=late, io="import polars"))
    assert structure.needless_late_imports(known) == []


def test_planted_loose_modules_full_folders_and_long_code_are_seen(tmp_path):
    package = planted(tmp_path, io="def long():\n" + "    pass\n" * 50, stats="x = 1\n" * 401)
    for name in ("a", "b", "c", "d", "e", "f"):
        (package / f"{name}.py").write_text("")
    for number in range(19):
        (package / "io" / f"data-{number}.txt").write_text("")
    complaints = structure.complaints(package)
    assert [text for text in complaints if "layer" not in text] == [
        "6 loose modules, more than 5: a, b, c, d, e, f",
        "io has 21 files, more than 20",
        "stats/thing.py has 401 lines, more than 400",
        "io/thing.py:1 long has 51 lines, more than 50",
    ]
    assert structure.main(package) == 1
    assert structure.main(planted(tmp_path / "tidy", io="x = 1")) == 0


def test_no_source_file_names_a_place_on_one_machine():
    names = [f"{quote}/{root}/" for quote in "\"'" for root in ("home", "work", "Users", "mnt", "data", "root")]
    named = [path.name for path in SOURCE.rglob("*.py") if any(name in path.read_text() for name in names)]
    assert named == []


@pytest.mark.parametrize("code", ["import mematlas", "from mematlas.cli import run; run(['--help'])"])
def test_importing_the_package_and_asking_for_help_load_nothing_heavy(code):
    script = f"{code}\nimport sys, json; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "mematlas", "--help"], capture_output=True, text=True, check=True)
    assert "score" in done.stdout


def test_all_tables_resolve():
    from mematlas.corpus.formats import FORMATS
    from mematlas.metrics import METRICS
    from mematlas.models import MODELS

    for table in (FORMATS, MODELS, METRICS):
        assert len(table) >= 3
        for name in table:
            assert type(table.load(name)).__module__.startswith("mematlas") or callable(table.load(name)), name
            assert table.summary(name), name


def test_every_public_name_resolves():
    assert all(getattr(mematlas, name) is not None for name in mematlas.__all__)


def asserts(function: ast.FunctionDef) -> bool:
    """Whether a test can fail: it asserts, expects an error, or calls a helper that checks."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("raises", "warns", "fail") or called.startswith(("assert_", "check_", "expect_")):
                return True
    return False


def unasserting(folder: Path) -> list[str]:
    return [
        f"{path.name}: {node.name}"
        for path in sorted(folder.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not asserts(node)
    ]


def test_every_test_asserts_something():
    assert unasserting(TESTS) == []


def test_a_planted_test_without_an_assertion_is_seen(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_nothing():\n    print(1)\n\ndef test_it():\n    assert 1\n")
    assert unasserting(tmp_path) == ["test_it.py: test_nothing"]
