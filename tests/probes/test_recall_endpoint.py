"""Recall of models behind an API: a server whose answers are known, one that fails, and what no API can give."""

import json

import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import ModelError, OptionError
from mematlas.models.endpoints.client import Endpoint
from tests.endpoint_server import serve

COUNT, KNOWN = 40, 24
NOWHERE = "api:http://127.0.0.1:9/v1#tiny"


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMATLAS_API_KEY", raising=False)
    monkeypatch.setattr(Endpoint.__init__, "__defaults__", (*Endpoint.__init__.__defaults__[:-1], 0.01))
    records = []
    for number in range(COUNT):
        name = f"thing {'a' * (number + 1)}"  # sums of bytes that differ
        answer = sum(f"The number of {name} is".encode())  # what the server answers to this prompt
        records.append({"input": name, "output": str(answer if number < KNOWN else 90_000 + number)})
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def probe(spec, **options):
    asked = {"items": "task.jsonl", "template": "The number of {input} is {output}.", "shots": 0, "made_up": 5}
    return mematlas.probe_recall(spec, **{**asked, "answer": r"(\d+)", "concurrency": 3, **options})


def api(served):
    return f"api:{served.url}#tiny"


@pytest.mark.parametrize("kind", ["completions", "chat"])
def test_recall_is_the_share_that_the_server_knows_and_nothing_else_is_claimed(kind):
    with serve() as served:
        result = probe(api(served), endpoint=kind)
    (accuracy,) = result.table("accuracy").filter(what="recall").to_dicts()
    assert (accuracy["hits"], accuracy["n"]) == (KNOWN, COUNT)
    (shuffled,) = result.table("accuracy").filter(what="shuffled labels").to_dicts()
    assert shuffled["share"] < 0.1
    answers = result.answers()
    for name in ("logp", "logp_made_up", "rank", "is_greedy", "tokens", "context"):
        assert answers[name].null_count() == answers.height
    assert not (result.folder / "rows.parquet").exists()
    assert (result.facts["is_local"], result.facts["endpoint"], result.facts["model"]) == (False, kind, "tiny")
    assert any(caveat.startswith("The model gives text alone") for caveat in result.finding.caveats)
    assert {path for path, _, _ in served.log} == {f"/v1/{'chat/' * (kind == 'chat')}completions"}


def test_nothing_is_asked_twice_after_a_stop_and_faults():
    options = {"invariance": ["temperatures", "repetitions"], "repetitions": 3, "temperatures": [0.0, 1.0]}
    with serve(faults={3: "429", 5: "malformed", 9: "cut", 12: "empty"}) as served:
        served.stop_after = 60  # in the middle of a shard
        with pytest.raises(ModelError, match=r"gave status 500: stopped, 7 times .*run the same command again"):
            probe(api(served), **options)
        served.stop_after = None
        result = probe(api(served), **options)
        assert set(served.answers().values()) == {1}
        before = len(served.log)
        again = probe(api(served), **options)
        assert len(served.log) == before
    assert again.answers().equals(result.answers())
    with serve() as whole:
        assert probe(api(whole), out="whole", **options).answers().equals(result.answers())


def test_another_server_interface_or_model_has_a_folder_of_its_own_and_pace_and_budget_have_none():
    with serve() as served, serve() as other:
        first = probe(api(served))
        folders = {first.folder, probe(api(other)).folder, probe(api(served), endpoint="chat").folder}
        assert len(folders) == 3
        before = len(served.log)
        assert probe(api(served), max_requests=10_000, concurrency=1).folder == first.folder
        assert len(served.log) == before


def test_a_budget_stops_keeps_and_goes_on():
    with serve() as served:
        with pytest.raises(ModelError, match=r"^--max-requests 20 is reached: .*raise the cap, and run the same"):
            probe(api(served), max_requests=20)
        assert len(served.log) == 20
        result = probe(api(served), max_requests=1000)
        assert set(served.answers().values()) == {1}
    assert result.answers().height == COUNT + result.facts["made_up"]


def test_the_command_announces_what_it_takes_and_keeps_the_key_to_itself(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MEMATLAS_API_KEY", "sk-0123456789-secret")
    words = ["--items", "task.jsonl", "--template", "The number of {input} is {output}.", "--shots", "0"]
    words += ["--answer", r"(\d+)", "--made-up", "0"]
    with serve(key="sk-0123456789-secret", echo_key=True) as served:
        code = run(["probe", "recall", api(served), *words])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert f"tiny: at most {COUNT} requests; at most " in err
    assert "tiny is behind an API: nobody can check that it stays the same model" in err
    assert "60.0 %" in out
    (folder,) = (tmp_path / "recall").iterdir()
    assert list((folder / "replies").glob("*.jsonl"))
    assert f"mematlas probe recall '{api(served)}' --items task.jsonl" in (folder / "README.md").read_text()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"sk-0123456789-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"candidates": 8}, "--candidates 8 ranks answers by their log-probabilities, and an API is asked for texts"),
        ({"dtype": "bfloat16"}, "--dtype bfloat16 is for its server to decide; leave it out, and ask other models by"),
        ({"device": "cpu"}, "--device cpu is for its server to decide"),
        ({"trust_remote_code": True}, "--trust-remote-code True is for its server to decide"),
    ],
)
def test_what_an_api_cannot_give_is_refused_by_name_before_it_is_asked(options, part, tmp_path):
    with pytest.raises(OptionError) as raised:
        probe(NOWHERE, **options)
    assert str(raised.value).startswith(f"{NOWHERE} is a model behind an API: {part}")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "recall").exists()


@pytest.mark.parametrize(
    ("spec", "options", "error", "part"),
    [
        (NOWHERE, {}, ModelError, "Nothing listens at http://127.0.0.1:9/v1"),
        ("api:http://127.0.0.1:9/v1", {}, ModelError, "names no model behind the API"),
        (NOWHERE, {"key_variable": "NO_KEY"}, OptionError, "the environment has no such variable"),
        (NOWHERE, {"max_cost": 5}, OptionError, "--max-cost 5 needs the prices of a million tokens"),
    ],
)
def test_a_mistake_is_one_line(spec, options, error, part):
    with pytest.raises(error) as raised:
        probe(spec, **options)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
