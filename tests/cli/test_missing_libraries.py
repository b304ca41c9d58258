"""With the libraries of a plain installation alone, what can work does; all else ends as one line that names the extra.

A process of its own blocks all other imports; it runs all commands, so that they are the same ones that users run.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import licences
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

import mematlas
from mematlas.cli import COMMANDS, run
from mematlas.errors import MissingExtra
from mematlas.errors.functions import public_function
from mematlas.errors.libraries import CORE, EXTRAS, missing_libraries
from mematlas.executors.base import UserError, WorkerSlot
from tests import study_shelf as shelves
from tests import tiny_networks as networks

SOURCE = Path(mematlas.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
#: Names of distributions whose import has another name.
IMPORT_NAMES = {"vl_convert_python": "vl_convert", "umap_learn": "umap", "scikit_learn": "sklearn", "pyyaml": "yaml"}
IMPORT_NAMES |= {"universal_pathlib": "upath"}
HF = 'which is not installed; run: pip install "mematlas[hf]"'
REPORT = 'which is not installed; run: pip install "mematlas[report]"'

#: Command -> words of calls, and what each prints without any extra: a part of its one line, or None if it succeeds.
CALLS = {
    "run": [(["study.yaml"], HF), (["study.yaml", "--dry-run"], HF)],
    "init": [(["new.yaml"], None)],
    "score": [(["uniform:60", "--corpus", "rows.npy", "--context", "8", "--study", "other"], HF)],
    "plan": [([], None), (["uniform:60"], HF)],
    "features": [(["study"], None)],
    "fit": [(["study"], HF)],
    "predict": [(["uniform:60", "--corpus", "rows.npy", "--predictor", "predictor"], HF)],
    "analyze": [(["study", "--only", "size"], None), (["study"], HF)],
    "report": [(["study"], REPORT)],
    "show": [(["study"], None)],
    "rows": [(["study"], None), (["study", "--text"], None)],
    "explore": [(["nowhere"], "nowhere is not a study")],  # serves until it is stopped: see the next test
    "verify": [(["study", "--no-rescore"], None), (["study"], None)],
    "slurm": [(["uniform:60", "--corpus", "rows.npy", "--study", "other", "--tasks", "2"], None)],
    "list": [([table], None) for table in ("formats", "models", "metrics", "analyses", "layouts", "steps")],
    "index": [
        (["rows.npy", "--out", "index"], None),
        (["text.txt", "--out", "index2", "--tokenizer", "someone/else"], HF),
    ],
    "count": [(["index", "--ids", "1,2"], None), (["index", "some text", "--tokenizer", "someone/else"], HF)],
    "import": [(["nothing.parquet", "--study", "published"], "There is no file or folder nothing.parquet")],
    "demo": [(["--out", "demo"], HF)],
    "experiment": [(["forget", "forget.yaml"], HF)],
    "audit": [(["model", "--train", "text.txt"], HF)],
    "probe recall": [(["model", "--items", "text.txt", "--template", "{input} {output}"], REPORT)],
    "probe tasks": [(["model", "--task", "task.csv", "--index", "index"], REPORT)],
    "trace-states": [(["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "probe layers": [(["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "probe prompts": [(["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "probe prior": [(["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "probe style": [(["model", "--texts", "authors.csv"], REPORT)],
    "probe ratios": [(["model", "--corpus", "texts.csv", "--label", "topic", "--control", "texts.csv"], REPORT)],
    "probe compress": [(["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "stress": [(["uniform:60", "uniform:60", "--corpus", "rows.npy", "--rows", "first:1"], REPORT)],
    "endpoint": [(["http://127.0.0.1:9/v1#model"], "Nothing listens at http://127.0.0.1:9/v1")],
    "canaries": [
        (["make", "--template", "A {digits:9}", "--into", "text.txt"], None),
        (["check", "model", "--key", "canaries"], HF),
    ],
}
_BLOCKED = """
import sys, json, io, contextlib
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *args):
        return None if name.partition(".")[0] in {blocked!r} else self.finder.find_spec(name, *args)
sys.meta_path[:] = map(Without, sys.meta_path)
"""
_COMMANDS_SCRIPT = """
from mematlas.cli import run
results = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""
_EXPLORER_SCRIPT = """
from mematlas.explorer.routes import Explorer
from mematlas.study import open_study
print(Explorer(open_study("study")).answer("/api/rows", "sort=margin").body.decode())
"""
_FUNCTIONS_SCRIPT = """
import mematlas
calls = {
    "audit": lambda: mematlas.audit("model", train="text.txt"),
    "analyze": lambda: mematlas.analyze("study"),
    "demo": lambda: mematlas.demo("demo2"),
    "experiment": lambda: mematlas.experiment("forget", "forget.yaml"),
    "fit_predictors": lambda: mematlas.fit_predictors("study"),
    "import_exposures": lambda: mematlas.import_exposures("nothing.csv", study="study"),
    "import_hubble": lambda: mematlas.import_hubble("nothing.json", study="study"),
    "import_scores": lambda: mematlas.import_scores("nothing.parquet", study="published"),
    "measure": lambda: mematlas.measure(None, [[1] * 20], context=8, continuation=4),
    "make_features": lambda: mematlas.make_features("study"),
    "open_corpus": lambda: mematlas.open_corpus("folder", format="datasets"),
    "open_study": lambda: mematlas.open_study("study"),
    "probe_compress": lambda: mematlas.probe_compress("uniform:60", corpus="rows.npy", rows="first:1"),
    "probe_layers": lambda: mematlas.probe_layers("uniform:60", corpus="rows.npy", rows="first:1"),
    "probe_prior": lambda: mematlas.probe_prior("uniform:60", corpus="rows.npy", rows="first:1"),
    "probe_prompts": lambda: mematlas.probe_prompts("uniform:60", corpus="rows.npy", rows="first:1"),
    "probe_recall": lambda: mematlas.probe_recall("model", items="items.csv", template="{input} {output}"),
    "probe_ratios": lambda: mematlas.probe_ratios("model", corpus="texts.csv", label="topic", control="texts.csv"),
    "probe_style": lambda: mematlas.probe_style("model", texts="authors.csv"),
    "probe_tasks": lambda: mematlas.probe_tasks("model", task="task.csv", index="index"),
    "predict_rows": lambda: mematlas.predict_rows("uniform:60", corpus="rows.npy", predictor="predictor"),
    "run": lambda: mematlas.run("study.yaml"),
    "score": lambda: mematlas.score("uniform:60", corpus="rows.npy", context=8, study="other"),
    "stress": lambda: mematlas.stress("uniform:60", "uniform:60", corpus="rows.npy", rows="first:1"),
    "trace_states": lambda: mematlas.trace_states("uniform:60", corpus="rows.npy", rows="first:1"),
    "Study.states": lambda: (study := mematlas.open_study("study")).states(study.models()["model"][0]),
}
results = {}
for name, call in calls.items():
    try:
        call()
        results[name] = None
    except mematlas.MematlasError as error:
        results[name] = str(error)
    except Exception as error:
        results[name] = repr(error)
print(json.dumps(results))
"""


def without(libraries: AbstractSet[str], script: str, *arguments: str, folder: Path):
    """The JSON that a script prints where these libraries cannot be imported."""
    code = _BLOCKED.format(blocked=sorted(libraries)) + script
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@cache
def absent_libraries() -> frozenset[str]:
    """All that is installed here and not by `pip install mematlas`, and all libraries of extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    present = {"mematlas", *licences.installed(map(Requirement, project["dependencies"]))}
    others = {
        library
        for library, distributions in packages_distributions().items()
        if present.isdisjoint(map(canonicalize_name, distributions))
    }
    return frozenset(others | set(EXTRAS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of token rows with every kind of signal, scored where all libraries are."""
    folder = shelves.fill(tmp_path_factory.mktemp("bare"))
    shelves.study_file(folder)
    (folder / "text.txt").write_text("a text\n" * 100)
    (folder / "folder").mkdir()
    (folder / "forget.yaml").write_text("out: trained\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--corpus", "rows.npy", "--control", "control.npy", "--context", "8", "--continuation", "4,12"]
        signals = ["--signals", "free,truth,hidden"]
        assert run(["score", "parrot:rows.npy", "parrot:half.npy:23", *options, *signals, "--study", "study"]) == 0
    return folder


@pytest.fixture(scope="module")
def results(folder):
    """Every call of CALLS -> (exit code, standard output, standard error) without the libraries of all extras."""
    words = [[*command.split(), *words] for command, calls in CALLS.items() for words, _ in calls]
    answers = without(absent_libraries(), _COMMANDS_SCRIPT, json.dumps(words), folder=folder)
    return {tuple(called): answer for called, answer in zip(words, answers, strict=True)}


def test_what_a_plain_installation_lacks_is_known():
    assert {"torch", "numba", "sklearn", "sacrebleu", "pandas", "statsmodels", "zstandard"} <= absent_libraries()
    assert absent_libraries().isdisjoint({*CORE, "fsspec", "mematlas"})


def test_every_command_is_tried():
    assert set(CALLS) == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "words", "part"), [(command, *call) for command, calls in CALLS.items() for call in calls]
)
def test_a_command_without_the_extras_works_or_names_the_extra(results, command, words, part):
    code, _, err = results[*command.split(), *words]
    assert "Traceback" not in err
    if part is None:
        assert code == 0, err
        return
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("mematlas: ")]
    assert len(lines) == 1
    assert lines[0] == err.splitlines()[-1]
    assert part in lines[0]


def test_rows_are_explored_without_the_extras(folder):
    """Without a tokenizer, tokens are shown as ids; nothing else is missing."""
    shown = without(absent_libraries(), _EXPLORER_SCRIPT, folder=folder)
    assert shown["total"] == 40
    assert shown["rows"][0]["context_text"].split()[0].isdigit()


def test_verify_calls_nothing_a_fault_that_it_could_not_read_for_want_of_a_library(results):
    """N5: 56 faults that advised to delete good data."""
    code, out, _ = results["verify", "study", "--no-rescore"]
    assert code == 0
    assert "fault" not in out.replace("No faults were found.", "")
    assert "delete" not in out
    lines = [line for line in out.splitlines() if line.startswith("not checked: ")]
    assert len(lines) == 1
    assert re.search(
        r"states/.*\.safetensors and 3 other files: reading this needs the library 'safetensors', which is not "
        r'installed; run: pip install "mematlas\[hf\]"\.$',
        lines[0],
    )
    assert "Not all was checked: see above." in out
    code, out, _ = results["verify", "study"]
    assert code == 0
    assert "not checked: No row of run" not in out or "needs the library 'torch'" in out
    assert out.count("not checked: ") >= 2


def test_counts_without_compiled_loops_are_those_with_them(results, folder):
    """The features of a study and the counts of an index, made by numpy and by numba."""
    bare, compiled = Path(folder, "index"), Path(folder, "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["index", "rows.npy", "--out", str(compiled)]) == 0
    tables = [path.relative_to(bare) for path in sorted(bare.rglob("*.bin"))]
    assert tables
    for table in tables:
        assert (bare / table).read_bytes() == (compiled / table).read_bytes(), table


def test_one_analysis_without_its_library_does_not_stop_the_others(results):
    code, out, err = results["analyze", "study"]
    assert code == 1
    assert "29 findings are in" in out
    assert err.splitlines()[-1].endswith(
        "1 of 30 analyses failed: embedding (Reading hidden states needs the library 'safetensors', which is not "
        'installed; run: pip install "mematlas[hf]"). The others are written; leave these out with --only, and '
        "install that."
    )


def test_public_functions_without_the_extras_raise_one_line_that_names_the_extra(folder):
    answers = without(absent_libraries(), _FUNCTIONS_SCRIPT, folder=folder)
    functions = [name for name in mematlas.__all__ if name[0].islower()]
    assert set(functions) <= set(answers)
    works = {"make_features", "open_study"}
    assert {name for name, text in answers.items() if text is None} == works
    for name in set(answers) - works - {"import_exposures", "import_hubble", "import_scores"}:
        assert "\n" not in answers[name]
        assert "which is not installed; run: pip install" in answers[name], (name, answers[name])


def test_text_needs_no_torch_to_be_indexed_counted_and_described(tmp_path):
    """The tokenizer needs transformers, but nothing of it needs torch (N6)."""
    networks.save_network(networks.neox(), tmp_path / "tiny")
    tokenizer = Tokenizer(WordLevel({f"w{number}": number for number in range(networks.V)}, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tiny" / "tokenizer.json"))
    (tmp_path / "tiny" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "text.txt").write_text("w1 w2 w3 w4\n" * 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        score = ["score", "tiny", "--corpus", "text.txt", "--context", "4", "--continuation", "4", "--study", "study"]
        assert run([*score, "--row-length", "8"]) == 0
    words = [
        ["index", "text.txt", "--out", "index", "--tokenizer", "tiny", "--row-length", "8"],
        ["count", "index", "w1 w2"],
        ["features", "study"],
        ["plan", "tiny"],
    ]
    for called, (code, _, err) in zip(
        words,
        without({"torch", "safetensors", "ray"}, _COMMANDS_SCRIPT, json.dumps(words), folder=tmp_path),
        strict=True,
    ):
        assert code == 0, (called, err)


# --------------------------------------------------------------------------------------------------------- the table


def import_names(requirements: list[str]) -> set[str]:
    """The names under which the distributions of these requirements are imported, without mematlas itself."""
    names = {re.split(r"[\[<>=;! ]", requirement)[0].replace("-", "_").lower() for requirement in requirements}
    return {IMPORT_NAMES.get(name, name) for name in names if name != "mematlas"}


def test_the_table_of_libraries_is_that_of_pyproject():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert set(CORE) == import_names(project["dependencies"])
    named = set().union(*(import_names(extras[extra]) for extra in set(extras) - {"test", "dev", "docs"}))
    assert set(EXTRAS) == named
    for library, extra in EXTRAS.items():
        assert library in import_names(extras[extra]), f"{extra} does not install {library}"


def test_every_library_that_the_source_imports_is_in_the_table():
    imported = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    third_party = imported - set(sys.stdlib_module_names) - {"mematlas"}
    indirect = {"fsspec"}  # of universal-pathlib
    # these wrap the user's own training, and are there where it is
    assert third_party - set(EXTRAS) - set(CORE) - indirect <= {"axolotl"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "It needs the library 'torch', which is not installed; run: pip install \"mematlas[hf]\"",
        ),
        (
            ModuleNotFoundError("No module named 'scipy.special'", name="scipy.special"),
            "It needs the library 'scipy', which is not installed; run: pip install --force-reinstall mematlas",
        ),
        (
            ModuleNotFoundError("No module named 'einops'", name="einops"),
            "It needs the library 'einops', which is not installed; install it and run the same command again.",
        ),
        (
            ImportError("cannot import name 'StaticLayer' from 'transformers.cache_utils'", name="transformers.x"),
            "It needs another version of the library 'transformers' (cannot import name 'StaticLayer' from "
            "'transformers.cache_utils'); run: pip install --upgrade \"mematlas[hf]\"",
        ),
        (
            ImportError("Using a `device_map` requires Accelerate: `pip install accelerate`"),
            "It needs another version of the library 'accelerate' (Using a `device_map` requires Accelerate: `pip "
            'install accelerate`); run: pip install --upgrade "mematlas[multi-gpu]"',
        ),
        (
            ImportError("libcudart.so.12: cannot open shared object file"),
            "It needs a library that cannot be imported (libcudart.so.12: cannot open shared object file); install it "
            "again.",
        ),
    ],
)
def test_the_line_names_library_reason_and_remedy(error, message):
    with pytest.raises(MissingExtra) as raised, missing_libraries("It"):
        raise error
    assert str(raised.value) == message


def test_a_missing_module_of_our_own_is_a_fault_of_ours():
    with pytest.raises(ModuleNotFoundError, match=r"mematlas\.nothing"), missing_libraries("It"):
        raise ModuleNotFoundError("No module named 'mematlas.nothing'", name="mematlas.nothing")


def test_a_library_that_only_a_worker_lacks_is_one_line_and_no_death():
    def make_worker(threads: int) -> Callable[[int], int]:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    result = WorkerSlot(make_worker, 1).run(0)
    assert isinstance(result, UserError)
    assert str(result.error).startswith("A worker needs the library 'torch', which is not installed; run: pip install")


def test_a_public_function_is_named_in_the_line():
    @public_function()
    def read() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(MissingExtra, match=r"^mematlas\.read\(\) needs the library 'torch', which is not installed; "):
        read()
