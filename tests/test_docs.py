"""The commands and code of the documentation run, or are listed with a reason; the site is complete."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers

from mematlas.analyses import ANALYSES
from mematlas.cli import app, run
from mematlas.corpus.formats import FORMATS
from mematlas.models.resolve import find_model
from mematlas.pipeline.experiment import read_experiment
from mematlas.pipeline.study_file import parse_study_file
from tests import study_shelf as shelves
from tests import tiny_networks as networks
from tests.docs_commands import NOT_EXECUTED, NOT_RUN, ROOT, Block, blocks, is_synopsis, pages, words

DOCS = ROOT / "docs"
BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [(block.page, command) for block in BLOCKS for command in block.commands]
#: Word in the documentation -> its substitute in the tests: a model, a shared folder.
SUBSTITUTES = dict.fromkeys(("MODEL", "MODEL_FOLDER", "EleutherAI/pythia-70m"), "my-finetuned-model")
SUBSTITUTES |= {"/shared/study": "shared", "tokens.npy": "rows.npy"}
#: Pages whose commands read what the Python on the same page wrote.
AFTER_PYTHON = ("docs/training.md",)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """Tiny versions of what the pages use: models, corpora, a study file, and the demo's folder with a scored study."""
    desk = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(3)
    for name in ("my-finetuned-model", "base-model"):
        networks.save_network(networks.neox(seed=len(name)), desk / name)
        _write_tokenizer(desk / name)
    documents = [" ".join(f"w{number}" for number in random.integers(0, 400, 96)) for _ in range(12)]
    files = {"train.jsonl": documents[:6], "heldout.jsonl": documents[6:], "texts.jsonl": documents}
    for name, texts in files.items():
        (desk / name).write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    chats = [
        [{"role": "user", "content": text[:200]}, {"role": "assistant", "content": text[200:]}] for text in documents
    ]
    (desk / "chats.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    (desk / "my-finetuned-model" / "chat_template.jinja").write_text(template)
    for folder, texts in {"notes": documents[:3], "other-notes": documents[3:6]}.items():
        (desk / folder).mkdir()
        for number, text in enumerate(texts):
            (desk / folder / f"{number}.txt").write_text(text)
    random.integers(0, 499, 3 * 2049).astype("<u2").tofile(desk / "tokens.bin")
    _write_audited(desk, random)
    (desk / "queries.txt").write_text('1,2,3\n"w1 w2"\n')
    _write_rows(desk, random)
    _write_counterfactual(desk)
    _write_demo(desk / "demo")
    return desk


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer with one id per word; no text contains the words with ids from 400 on."""
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(networks.V)}, unk_token="w498"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = '"eos_token": "w497", "pad_token": "w496"'
    (folder / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "PreTrainedTokenizerFast", {special}}}')


def _write_audited(desk: Path, random: np.random.Generator) -> None:
    """What an audit reads besides training files: two books, a source tree, and a benchmark."""
    for name in ("book", "other-book"):
        chapters = [" ".join(f"w{number}" for number in random.integers(0, 400, 60)) for _ in range(9)]
        (desk / f"{name}.txt").write_text("\n".join(f"Chapter {n}\n{text}" for n, text in enumerate(chapters, 1)))
    (desk / "my-project").mkdir()
    for number in range(3):
        text = " ".join(f"w{number}" for number in random.integers(0, 400, 120))
        (desk / "my-project" / f"{number}.py").write_text(text)
    questions = [[f"w{number}" for number in random.integers(0, 400, 28)] for _ in range(10)]
    records = [
        {"question": " ".join(each[:20]), "choices": [" ".join(each[n : n + 2]) for n in (20, 22, 24, 26)]}
        for each in questions
    ]
    (desk / "questions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def _write_rows(desk: Path, random: np.random.Generator) -> None:
    rows = random.integers(0, 400, (12, 96))
    np.save(desk / "rows.npy", rows)
    for name, selection in {"rows": rows, "train": rows[:8], "control": rows[8:]}.items():
        pl.DataFrame({"tokens": selection.tolist()}).write_parquet(desk / f"{name}.parquet")


def _write_counterfactual(desk: Path) -> None:
    """The files that the page on counterfactual memorization shows, and the checkpoints of a training."""
    shown = [block.text for block in BLOCKS if block.page == "docs/counterfactual.md"]
    for name, start in {
        "own.yaml": "corpus:",
        "train.py": "import json",
        "who.csv": "model,",
        "order.csv": "row,",
    }.items():
        (desk / name).write_text(next(text for text in shown if text.startswith(start)))
    for step in (0, 10, 20, 30):
        networks.save_network(networks.neox(seed=step), desk / "run" / f"checkpoint-{step}")


def _write_demo(demo: Path) -> None:
    (demo / "corpus").mkdir(parents=True)
    shelves.study_file(shelves.fill(demo), analyses="[distribution, size]")
    pl.DataFrame({"tokens": [[310, 253, 187, 310, 253]] * 3}).write_parquet(demo / "corpus" / "train.parquet")
    assert run(["run", str(demo / "study.yaml")]) == 0


@pytest.fixture
def at_desk(desk, tmp_path, monkeypatch) -> Path:
    """A copy of the desk, so that pages do not depend on each other; it is the current folder."""
    copy = tmp_path / "desk"
    shutil.copytree(desk, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(copy / "cache"))
    return copy


# ------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("page", sorted({page for page, _ in COMMANDS}))
def test_commands_do_what_the_page_says(page, at_desk, capsys):
    """In the order of the page, in one folder, as a reader would run them; those in NOT_RUN are skipped."""
    for block in PYTHON if page in AFTER_PYTHON else ():
        if block.page == page:
            execute(block)
    commands = [command for name, command in COMMANDS if name == page and not is_synopsis(command)]
    for command in [command for command in commands if command not in NOT_RUN]:
        assert command.startswith("mematlas "), f"{page}: {command}: run it here, or list it in NOT_RUN"
        arguments = [SUBSTITUTES.get(word, word) for word in words(command)[1:]]
        assert run(arguments) == 0, f"{page}: {command}\n{capsys.readouterr().err}"
        if arguments[0] == "init" and "--experiment" not in arguments:  # and the reader fills in the file
            shelves.study_file(shelves.fill(at_desk), arguments[1], analyses="[distribution]")


@pytest.mark.parametrize("command", sorted({command for _, command in COMMANDS if command.startswith("mematlas ")}))
def test_options_of_commands_are_known(command):
    function, *_ = app.parse_args(words(command)[1:], exit_on_error=False, print_error=False)
    assert callable(function)


@pytest.mark.parametrize("command", sorted({command for _, command in COMMANDS if not command.startswith("mematlas ")}))
def test_scripts_exist(command):
    assert (ROOT / words(command)[1]).is_file()


def test_every_command_that_is_not_run_is_still_on_a_page():
    assert set(NOT_RUN) - {command for _, command in COMMANDS} == set()
    assert all(any(line in block.text for block in BLOCKS) for line in NOT_EXECUTED)


def test_commands_are_found_across_lines_comments_and_pairs():
    text = "mematlas score A \\\n    --study s   # why\npip install x\nmematlas count i --ids 1#2 && python b.py\n"
    assert Block("page", "", text).commands == [
        "mematlas score A --study s",
        "mematlas count i --ids 1#2",
        "python b.py",
    ]
    assert words("mematlas verify S [--rows 9] [--quick]") == ["mematlas", "verify", "S", "--rows", "9", "--quick"]


def test_the_trainer_of_the_page_trains_a_model(at_desk):
    subprocess.run([sys.executable, "train.py", "train.jsonl", "trained"], check=True, capture_output=True)
    assert find_model("./trained").card.parameters == find_model("./base-model").card.parameters
    assert find_model("./trained").card.fingerprint != find_model("./base-model").card.fingerprint
    config = read_experiment("counterfactual", Path("own.yaml"))
    assert (config.models, config.share, config.row_length, config.context) == (40, 0.5, 64, 32)


def test_the_events_of_the_page_are_those_of_a_file(tmp_path):
    (block,) = [block.text for block in BLOCKS if block.text.startswith("events:")]
    (tmp_path / "inject.yaml").write_text(block)
    config = read_experiment("inject", tmp_path / "inject.yaml")
    assert [cell.name for cell in config.cells][-5:-3] == ["text@steps@splice", "text@never"]


# --------------------------------------------------------------------------------------------- Python, study files


PYTHON = [block for block in BLOCKS if block.language == "python"]
READ_ONLY = [block for block in PYTHON if any(line in block.text for line in NOT_EXECUTED)]


@pytest.mark.parametrize("block", [block for block in PYTHON if block not in READ_ONLY], ids=lambda block: block.page)
def test_python_runs(block, at_desk):
    assert len(execute(block)) > 1  # beside the builtins


def execute(block: Block) -> dict[str, object]:
    """Run a block and return the names that it defines."""
    names: dict[str, object] = {}
    exec(compile(block.text, block.page, "exec"), names)
    return names


@pytest.mark.parametrize("block", READ_ONLY, ids=lambda block: block.page)
def test_python_that_is_not_run_can_be_compiled(block):
    assert compile(block.text, block.page, "exec").co_names


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=lambda block: block.page)
def test_study_files_are_valid(block):
    assert parse_study_file(block.text, ROOT / "study.yaml").models == yaml.safe_load(block.text)["models"]


# ----------------------------------------------------------------------------------------------------- up to date


def _section(page: str, name: str) -> str:
    """The text under a heading of the second level, on one line."""
    parts = re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = [part for part in parts if part.splitlines()[0].strip("`") == name]
    assert len(sections) == 1, f"docs/{page} needs one section `## {name}`"
    return " ".join(sections[0].split())


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_is_explained(name):
    section, analysis = _section("analyses.md", name), ANALYSES.load(name)
    assert f"Source: {analysis.source}." in section
    assert f"Needs: {analysis.needs}." in section
    assert "Formula:" in section
    assert "Control:" in section


def test_formats_name_the_options_that_they_read():
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|[^|]*\|$", text, re.MULTILINE))
    assert set(rows) == set(FORMATS)
    for name, options in rows.items():
        named = {option.replace("-", "_") for option in re.findall(r"--([\w-]+)", options)}
        assert named == set(FORMATS.load(name).reads), name


def test_every_fault_names_a_test_that_exists():
    """Names end in ...; a test without a file is in the file named before it, or else in test_faults."""
    lines = [line for line in (DOCS / "reliability.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    names = 0
    for cell in [line.rstrip("| ").rpartition(" | ")[2] for line in lines]:
        file = "test_faults"
        for path, name in re.findall(r"(?:`([\w/]+)`: )?`(test_\w+?_?)(?:\.\.\.)?`(?!:)", cell):
            file, names = path or file, names + 1
            assert f"def {name}" in (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"), f"{file}: {name}"
    assert names > 20


def test_pictures_are_used_and_small():
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    pictures = list((DOCS / "pictures").iterdir())
    assert [picture.name for picture in pictures if picture.name not in text] == []
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000


# --------------------------------------------------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("material", reason='the site is built with pip install "mematlas[docs]"')
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_the_site_has_the_generated_parts(site):
    commands, names = (re.sub(r"<[^>]+>", "", (site / page).read_text()) for page in ("command-line.html", "api.html"))
    assert all(f"Usage: mematlas {name} " in commands for name in app if not name.startswith("-"))
    assert "open_study(" in names
    assert "--continuation" in commands
    assert "tokengrams" in (site / "measurements.html").read_text()
    assert "<!-- generated" not in commands + names
    assert not (site / "generated.py").exists()


def test_the_site_loads_nothing_from_other_hosts(site):
    """Links may lead to other hosts, but a browser must not load anything from them by itself."""
    loaded = re.compile(
        r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//"""
    )
    loaded_by_style = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 10
    violations = [
        path.name for path in files if loaded.search(path.read_text()) or loaded_by_style.search(path.read_text())
    ]
    assert violations == []


def test_a_broken_link_fails_the_build(tmp_path):
    pytest.importorskip("material")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    for page in (tmp_path / "docs").glob("*-notebook.md"):
        page.write_text("# A notebook\n")  # so that the notebook is not run
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[broken](nowhere.md)\n")
    with pytest.raises(Abort):
        build(load_config(str(tmp_path / "mkdocs.yml"), strict=True))
