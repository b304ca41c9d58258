"""The commands and Python code in the documentation, and which of them the tests do not run, with the reasons."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

HUB: Final = "needs weights or data from the hub"
MINUTES: Final = "takes minutes"
YOURS: Final = "needs something that only the reader has (a run's key, a fitted predictor, published files)"
NOTEBOOK: Final = "run by tests/test_notebooks.py"
STATES: Final = "needs hidden states of a real model; run by tests/cli/test_fit_command.py"
PROCESSES: Final = "starts many processes, or needs a Ray cluster"
BUCKET: Final = "needs a bucket of your own; run on a local store by tests/study/test_object_stores.py"
HOME: Final = "writes into the reader's home folder; run by tests/cli/test_completion.py"
GPU: Final = "needs a GPU and vLLM; run with a stand-in by tests/scoring/test_vllm.py"
#: Training many models takes minutes; tests/pipeline run tiny ones.
TRAINED: Final = f"{MINUTES}; run by tests/pipeline/test_counterfactual.py and test_own_trainer.py"
SMALL: Final = f"{MINUTES}; run in small by tests/pipeline/test_experiment.py"
PROMPTS: Final = "needs a model that recites; run by tests/probes/test_prompts.py"
PRIOR: Final = "needs a model that recites; run by tests/probes/test_prior.py"
SHORTEST: Final = "needs a model that recites; run by tests/probes/test_compress.py"
LAYERS: Final = "needs a model that recites; run by tests/probes/test_layers.py"
TRACED: Final = "needs a model that recites; run by tests/cli/test_trace_states_command.py"
STRESSED: Final = "needs a model that was made to forget; run by tests/cli/test_stress_command.py"
API: Final = "needs a server; run by tests/scoring/test_endpoint.py and tests/cli/test_endpoint_command.py"
RECALLED: Final = "needs a corpus with codes; run by tests/cli/test_probe_command.py and tests/probes"
ASKED: Final = "needs a server; run by tests/probes/test_recall_endpoint.py"
RATIOS: Final = "needs texts of a model's training with labels; run by tests/probes/test_ratios.py"
STYLE: Final = "needs texts of authors in a model's training; run by tests/probes/test_style.py"
TASKS: Final = "needs an index of the model's corpus; run by tests/probes/test_tasks.py"
#: Command that is not run -> reason. A mematlas command is still parsed, so that a renamed option fails.
NOT_RUN: Final[dict[str, str]] = {
    "mematlas probe layers MODEL --corpus train.jsonl --control heldout.jsonl --out layers": LAYERS,
    "mematlas probe layers MODEL --corpus train.jsonl --control heldout.jsonl --looks lens --lens pythia-lens": LAYERS,
    "mematlas probe prompts MODEL --corpus train.jsonl --control heldout.jsonl --out prompts": PROMPTS,
    "mematlas probe prior MODEL --corpus train.jsonl --control heldout.jsonl --out prior": PRIOR,
    "mematlas probe style MODEL --texts authors.csv --out style": STYLE,
    "mematlas probe ratios MODEL --corpus train.csv --label topic --control heldout.csv --out ratios": RATIOS,
    "mematlas probe ratios MODEL --corpus train.csv --pattern 'question=[?]' --base BASE --out ratios": RATIOS,
    "mematlas probe compress MODEL --corpus train.jsonl --control heldout.jsonl --budget 60 --out shortest": SHORTEST,
    "mematlas score noise:0.3@MODEL heads:2.0+2.5@MODEL MODEL --corpus train.jsonl --study changed": LAYERS,
    "mematlas trace-states MODEL --corpus train.jsonl --rows ids:recited.txt --out traces": TRACED,
    "mematlas trace-states treatment --twin control --corpus train.jsonl --rows ids:recited.txt --out traces": TRACED,
    "mematlas stress before after --corpus train.jsonl --rows ids:forget.txt --retain ids:keep.txt "
    "--control heldout.jsonl": STRESSED,
    "mematlas stress before after --corpus train.jsonl --rows ids:forget.txt --control heldout.jsonl "
    "--synonyms synonyms.json --relearn 50": STRESSED,
    "mematlas endpoint http://127.0.0.1:8000/v1#my-model --out endpoint": API,
    "mematlas score api:http://127.0.0.1:8000/v1#my-model --corpus tokens.npy --depth verbatim --context 32 "
    "--continuation 32 --study api": API,
    'mematlas probe recall MODEL --items codes.csv --template "The ISO code of {input} is {output}." '
    "--out recall": RECALLED,
    "mematlas index corpus.parquet --eod 0 --tokenizer MODEL --out corpus-index": RECALLED,
    'mematlas probe recall MODEL --items codes.csv --template "The ISO code of {input} is {output}." '
    "--popularity index:corpus-index --out recall": RECALLED,
    "mematlas probe recall api:http://127.0.0.1:8000/v1#my-model --items codes.csv "
    '--template "The ISO code of {input} is {output}." --max-requests 5000 --out recall': ASKED,
    'mematlas probe tasks MODEL --task qa.csv --index corpus-index --template "Question: {input} Answer: {output}" '
    "--n 1,2,3 --similarity any --whole-output --control OTHER --out tasks": TASKS,
    "mematlas demo --probes --out demo": f"{MINUTES}; run in small by tests/pipeline/test_probe_demo.py",
    "mematlas demo --out demo": f"{MINUTES}; run by tests/pipeline/test_demo.py",
    "mematlas audit MODEL --train canaries/train.jsonl --control heldout.jsonl --canaries canaries/key.parquet "
    "--out audit-canaries": "needs a file of more than canaries; run by tests/audit/test_command.py",
    "mematlas explore study": "serves until it is stopped; run by tests/explorer/test_command.py",
    "mematlas score MODEL --corpus tokens.npy --rows ids:rows.ids.txt --context 8 --continuation 4 --study selection": (
        "needs an exported selection; run by tests/explorer/test_export.py"
    ),
    "mematlas experiment dynamics dynamics.yaml": SMALL,
    "mematlas experiment capacity capacity.yaml": f"{MINUTES}; run in small by tests/experiments/test_capacity.py",
    "mematlas experiment facts facts.yaml": f"{MINUTES}; run in small by tests/pipeline/test_facts.py",
    "mematlas score ./tuned --corpus train.jsonl --control heldout.jsonl --control-models ./base --signals truth "
    "--study bits": "needs two models; their bits are computed by tests/analyses/extraction/test_bits.py",
    "mematlas analyze bits --only bits": "needs the study above",
    "mematlas experiment forget forget.yaml": SMALL,
    "mematlas experiment ids ids.yaml": SMALL,
    "mematlas experiment inject inject.yaml": SMALL,
    "mematlas experiment insertions insertions.yaml": SMALL,
    "mematlas import hubble standard_text_document_perturbation_info.json --study hubble --items items.csv "
    "--steps 48000": "needs Hubble's files; run by tests/importers/test_import_hubble.py",
    "mematlas analyze hubble": YOURS,
    "mematlas experiment inject inject.yaml --check-interaction 3": f"{MINUTES}; see tests/experiments/test_inject.py",
    "mematlas features tagged --tagger spacy:en_core_web_sm": "needs spaCy; tests/pipeline/test_tags.py has a tagger",
    "mematlas --install-completion": HOME,
    "python notebooks/leak.py": NOTEBOOK,
    "python notebooks/atlas.py -- --study demo/study": NOTEBOOK,
    "mematlas fit study": STATES,
    "mematlas report study --format svg,pdf": "draws every figure twice; run by tests/report/test_page.py",
    "mematlas predict MODEL --corpus new.jsonl --predictor study/predictors/RUN/MODEL/context": YOURS,
    "mematlas predict MODEL --corpus new.parquet --predictor study/predictors/RUN/MODEL/context --out predicted": YOURS,
    "mematlas import random-sampled pile-deduped-pythia-random-sampled/*.parquet --study published": YOURS,
    "mematlas import memorized-evals deduped.70m.parquet deduped.12b.parquet --study published": YOURS,
    "mematlas import random-sampled sampled/*.parquet --study sampled": YOURS,
    "mematlas analyze published": YOURS,
    "mematlas report published": YOURS,
    "mematlas score models/smollm2-135m --corpus texts/licence-headers.jsonl --context 32 --continuation 32 "
    "--row-length 64 --cut window --rows first:60 --study ../studies/smollm2-135m/licence-headers": HUB,
    "mematlas score gguf/smollm2-135m.gguf --corpus texts/licence-headers.jsonl --context 32 --continuation 32 "
    "--row-length 64 --cut window --rows first:16 --study ../studies/gguf": HUB,
    "python benchmarks/real_inputs.py real": HUB,
    "mematlas score bert-base-uncased --objective masked --corpus texts.jsonl --context 32 --continuation 32 "
    "--study masked": HUB,
    "python benchmarks/real_models.py real studies": HUB,
    "mematlas score EleutherAI/pythia-70m EleutherAI/pythia-160m@step100000 --corpus pile-standard-pythia-preshuffled "
    "--format pythia --context 32 --continuation 32 --continuation 64 --rows first:1000 --study pile": HUB,
    "mematlas score EleutherAI/pythia-70m-deduped EleutherAI/pythia-160m-deduped "
    "--corpus pile-deduped-pythia-preshuffled --format pythia --rows first:1000 --context 32 --continuation 32 "
    "--eos suppress --study pythia-first": HUB,
    "mematlas score EleutherAI/pythia-70m --corpus tokens.npy --study study --workers 4": PROCESSES,
    "mematlas features study --workers 2": f"{PROCESSES}; run by tests/pipeline/test_count.py",
    "mematlas analyze study --workers 2": f"{PROCESSES}; run by tests/pipeline/test_analyze_one.py",
    "mematlas experiment counterfactual counterfactual.yaml --workers 2": PROCESSES,
    "mematlas score EleutherAI/pythia-12b --corpus tokens.npy --study /shared/study --executor ray --address auto "
    "--workers 64": PROCESSES,
    "mematlas score EleutherAI/pythia-70m --corpus tokens.npy --study s3://my-bucket/study --shard 2/8": BUCKET,
    "mematlas show s3://my-bucket/study": BUCKET,
    "mematlas run --dry-run pythia.yaml": HUB,
    "mematlas score MODEL --corpus long.npy --study study --context 4096 --continuation 256 --backend vllm": GPU,
    "mematlas run pythia.yaml": HUB,
    "mematlas experiment counterfactual cf.yaml": TRAINED,
    "mematlas experiment counterfactual own.yaml": TRAINED,
    "mematlas score MODEL --corpus allenai/c4:en#validation --format datasets --rows first:1000 --study by-hub": HUB,
}
#: Line of a Python block that is only compiled -> reason.
NOT_EXECUTED: Final[dict[str, str]] = {
    'answers = asked.complete(["What is the ISO code of Chad?"], max_tokens=16, temperature=0.7, seed=1, n=3)': API,
    'result = mematlas.probe_layers("MODEL", corpus="train.jsonl", control="heldout.jsonl", out="layers")': LAYERS,
    'result.table("lens").group_by("layer", "control").mean()': LAYERS,
    'result = mematlas.probe_prior("MODEL", corpus="train.jsonl", control="heldout.jsonl", out="prior")': PRIOR,
    'result.table("prior").sort("log_ratio")': PRIOR,
    'result = mematlas.probe_prompts("MODEL", corpus="train.jsonl", control="heldout.jsonl", out="prompts")': PROMPTS,
    'result.table("shortest").select("row", "first", "stable", "ratio")': PROMPTS,
    'result = mematlas.probe_ratios("MODEL", corpus="train.csv", label="topic", control="heldout.csv")': RATIOS,
    'result = mematlas.probe_style("MODEL", texts="authors.csv", out="style")': STYLE,
    'result = mematlas.probe_compress("MODEL", corpus="train.jsonl", control="heldout.jsonl", out="acr")': SHORTEST,
    'result.table("strings").select("class", "tokens", "prompt_tokens", "ratio", "bound", "reason")': SHORTEST,
    'traces = mematlas.trace_states("MODEL", corpus="train.jsonl", rows="ids:recited.txt", out="traces")': TRACED,
    'result = mematlas.probe_recall("MODEL", items="codes.csv", template=template, out="recall")': RECALLED,
    'result.table("accuracy").filter(what="recall")': RECALLED,
    'result = mematlas.probe_tasks("MODEL", task="prompted.csv", index="corpus-index", out="tasks")': TASKS,
    'result.table("pairs").sort("count_pair", descending=True)': TASKS,
    'traces.dependency().group_by("row", "layer").mean()': TRACED,
    'result = mematlas.stress("before", "after", corpus="train.jsonl", rows="ids:forget.txt")': STRESSED,
    'result.prompts().group_by("prompt").agg(pl.col("gain").mean())': STRESSED,
    'found.scan().filter(pl.col("expected") >= 0.2).select("row", "expected").collect()': YOURS,
    "subset, out = sys.argv[1:3]": "is a script; run by test_the_trainer_of_the_page_trains_a_model",
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block. page: path relative to the repository; language: of the fence, or ""."""

    page: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its commands that start with mematlas or python, one line each, without comments and split at `&&`."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        parts = [part.strip() for line in joined.splitlines() for part in line.split(" && ")]
        return [_without_comment(part) for part in parts if re.match(r"(mematlas|python3?)\s", part)]


def _without_comment(command: str) -> str:
    return re.sub(r"\s+#\s.*$", "", command)


def is_synopsis(command: str) -> bool:
    """Whether it shows optional options in brackets, such as [--rows 100]; such a line is parsed and not run."""
    return "[-" in command


def words(command: str) -> list[str]:
    """The words of a command as the shell splits them, without the brackets of a synopsis."""
    return shlex.split(re.sub(r"\[(-[^]]*)\]", r"\1", command))


def blocks(page: Path) -> list[Block]:
    fences = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page.relative_to(ROOT).as_posix(), language, text) for language, text in fences]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
