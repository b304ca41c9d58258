"""Which room may import which, and what may be imported without being asked for (design: README of the project)."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mematlas

SOURCE = Path(mematlas.__file__).parent
TESTS = Path(__file__).parent

#: room -> the other rooms it may import. What stands at the bottom may be imported by all.
BOTTOM = {"errors", "records", "registry", "predictions", "store", "storage", "fetching"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "registry": {"errors"},
    "predictions": set(),
    "storage": {"errors"},
    "fetching": {"errors", "storage"},
    "store": {"errors", "fetching", "storage"},
    "corpus": BOTTOM,
    "index": BOTTOM,
    "features": BOTTOM | {"index", "metrics"},
    "models": BOTTOM,
    "metrics": BOTTOM,
    "stats": set(),
    "scoring": BOTTOM | {"corpus", "models", "metrics"},
    "predictor": BOTTOM | {"corpus", "models", "metrics", "scoring"},
    "experiments": BOTTOM | {"corpus", "models", "metrics", "scoring"},
    "findings": {"errors", "fetching", "storage", "store"},
    "published": set(),
    "analyses": BOTTOM | {"stats", "metrics", "findings", "published"},
    "recount": {"analyses", "published"},
    "report": BOTTOM | {"findings", "published"},
    "explorer": BOTTOM,
    "executors": BOTTOM,
    "configuration": BOTTOM | {"corpus", "executors"},
    "question": BOTTOM | {"corpus", "models", "scoring", "configuration"},
    "share": {"errors"},
    "manifest": {"store"},
    "scorer": BOTTOM | {"models", "question", "scoring"},
    "errand": BOTTOM | {"configuration", "executors", "models", "question", "scorer", "scoring"},
    "study": BOTTOM | {"configuration", "errand", "executors", "manifest", "question", "scorer", "share"},
    "layouts": BOTTOM,
    "importing": BOTTOM | {"corpus", "layouts", "manifest", "study"},
    "made": {"fetching", "storage", "store"},
    "reopening": BOTTOM | {"configuration", "corpus", "models", "question", "scoring"},
    "checking": {"store"},
    "rescoring": BOTTOM | {"checking", "models", "reopening", "scoring", "study"},
    "verifying": BOTTOM | {"checking", "findings", "rescoring", "study"},
    "placing": BOTTOM | {"corpus", "features", "index", "made", "reopening", "scoring", "study"},
    "counting": BOTTOM | {"corpus", "executors", "features", "index", "reopening", "scoring"},
    "featuring": BOTTOM
    | {"counting", "executors", "features", "index", "made", "placing", "reopening", "scoring", "study"},
    "fitting": BOTTOM | {"executors", "made", "predictor", "scoring", "study"},
    "ensembles": BOTTOM | {"models", "predictor"},
    "prediction_question": BOTTOM | {"configuration", "corpus", "models", "predictor", "scoring"},
    "predicting": BOTTOM | {"ensembles", "models", "prediction_question", "predictor", "question", "scoring", "study"},
    "studyfile": BOTTOM | {"analyses", "configuration", "index", "models"},
    "answering": BOTTOM | {"analyses", "executors", "findings"},
    "analyzing": BOTTOM | {"analyses", "answering", "executors", "findings", "made"},
    "exporting": BOTTOM | {"findings"},
    "gallery": BOTTOM | {"analyses", "features", "findings", "placing", "question", "study"},
    "running": BOTTOM
    | {
        "analyses",
        "analyzing",
        "counting",
        "featuring",
        "gallery",
        "made",
        "placing",
        "question",
        "reopening",
        "report",
    }
    | {"fitting", "predictor", "study", "studyfile"},
    "costing": BOTTOM | {"models", "scoring"},
    "planning": BOTTOM
    | {"analyzing", "costing", "featuring", "fitting", "made", "question", "reopening", "running", "scoring"}
    | {"study", "studyfile"},
    "demonstration": BOTTOM | {"experiments", "running", "study", "studyfile"},
    "summary": BOTTOM | {"metrics", "stats"},
    "cli": {"*"},
    "__init__": {"*"},
    "__main__": {"cli"},
}

#: library -> the only rooms that may import it.
ZONES: dict[str, set[str]] = {
    "torch": {"models", "scoring", "experiments", "predictor"},
    "transformers": {"models", "scoring", "experiments", "predictor"},
    "tokenizers": {"models", "scoring", "experiments", "predictor", "corpus"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "jinja2": {"report"},
    "ray": {"executors"},
    "vllm": {"models"},
    "numba": {"index"},
    "pydivsufsort": {"index"},
    "rapidfuzz": {"metrics"},
    "sacrebleu": {"metrics"},
    "sklearn": {"stats", "predictor"},
    "umap": {"stats"},
    "upath": {"storage"},
    "fsspec": {"storage"},
}
HEAVY = (
    *("torch", "transformers", "tokenizers", "polars", "pyarrow", "altair", "vl_convert", "jinja2", "ray"),
    *("numba", "pydivsufsort", "sklearn", "umap", "upath", "fsspec"),
)

Import = tuple[str, bool]  # what is imported; whether it runs when the module is imported


def type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node: ast.AST, at_once: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = at_once and not type_checking(child)
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield from ((f"{child.module}.{alias.name}", inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield "." * child.level + (child.module or ""), inside
        yield from imports(child, inside and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def modules(source: Path) -> dict[str, list[Import]]:
    """Dotted module name -> its imports."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        found[".".join(parts)] = list(imports(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def violations(source: Path) -> list[str]:
    """Every import that the tables do not allow, in words."""
    found = []
    for name, imported in modules(source).items():
        room = name.partition(".")[0]
        if room not in ALLOWED:
            found.append(f"{name}: the room {room} is in no table")
            continue
        for target, _ in imported:
            top, _, rest = target.partition(".")
            other = rest.partition(".")[0]
            if target.startswith("."):
                found.append(f"{name} imports {target} relatively")
            elif top == "mematlas" and (source / other).with_suffix(".py").is_file() | (source / other).is_dir():
                if other != room and other not in ALLOWED[room] and "*" not in ALLOWED[room]:
                    found.append(f"{name} imports {other}")
            elif room not in ZONES.get(top, {room}):
                found.append(f"{name} imports {top}")
    return found


def cycles(source: Path) -> list[list[str]]:
    """Chains of module-level imports that end where they began."""
    known = modules(source)
    edges = {}
    for name, imported in known.items():
        edges[name] = set()
        for target, at_once in imported:
            parts = target.split(".")[1:] if target.startswith("mematlas.") and at_once else []
            while parts and ".".join(parts) not in known:
                parts = parts[:-1]
            if parts:
                edges[name].add(".".join(parts))
    found, state = [], dict.fromkeys(edges, 0)

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for target in sorted(edges[name] - {name}):
            if state[target] == 1:
                found.append([*path[path.index(target) :], target])
            elif state[target] == 0:
                visit(target, [*path, target])
        state[name] = 2

    for name in edges:
        if state[name] == 0:
            visit(name, [name])
    return found


def planted(folder: Path, **files: str) -> Path:
    """A package whose rooms hold one file each."""
    for room, text in files.items():
        (folder / room).mkdir()
        (folder / room / "__init__.py").write_text("")
        (folder / room / "thing.py").write_text(text)
    return folder


def test_every_import_is_allowed():
    assert violations(SOURCE) == []


def test_no_modules_import_each_other_in_a_circle():
    assert cycles(SOURCE) == []


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("from mematlas.models.base import Model", "corpus.thing imports models"),
        ("def late():\n    import torch.nn", "corpus.thing imports torch"),
        ("from mematlas import models", "corpus.thing imports models"),
        ("import altair as alt", "corpus.thing imports altair"),
        ("from ..models import base", "corpus.thing imports ..models relatively"),
    ],
)
def test_a_planted_forbidden_import_is_seen(tmp_path, text, report):
    assert violations(planted(tmp_path, corpus=text, models="import torch")) == [report]


def test_a_planted_unknown_room_is_seen(tmp_path):
    assert "cellar: the room cellar is in no table" in violations(planted(tmp_path, cellar=""))


def test_a_planted_circle_is_seen_and_a_late_import_is_none(tmp_path):
    (tmp_path / "early").mkdir()
    (tmp_path / "late").mkdir()
    back = "from mematlas.corpus.thing import x"
    circle = planted(tmp_path / "early", models=back, corpus="import mematlas.models.thing")
    assert cycles(circle) == [["corpus.thing", "models.thing", "corpus.thing"]]
    late = f"def use():\n    {back}"
    assert cycles(planted(tmp_path / "late", models=late, corpus="import mematlas.models.thing")) == []


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


def test_all_rooms_resolve():
    from mematlas.corpus import FORMATS
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
    """Whether a test can fail by what it finds: it asserts, expects an error, or calls a helper that checks."""
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
