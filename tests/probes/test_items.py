"""Items: task files, templates, examples, parsing, and what a model says of answers; each with what must not pass."""

import json

import numpy as np
import polars as pl
import pytest

from mematlas.corpus.records import read_table
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.models.base import ModelCard
from mematlas.probes.items.candidates import candidate_answers, rank_of_first
from mematlas.probes.items.controls import initials_guess, made_up_inputs, made_up_outputs, majority_output
from mematlas.probes.items.local_model import LocalModel
from mematlas.probes.items.parsing import make_parser
from mematlas.probes.items.task_file import Item, ItemColumns, read_items
from mematlas.probes.items.templates import (
    Template,
    asked_items,
    check_prompts,
    choose_examples,
    parse_template,
    prompt,
    read_templates,
)
from tests.byte_level_tokenizer import byte_level_encoder
from tests.tiny_networks import causal_model, neox

COUNTRIES = [
    Item(str(n), name, code) for n, (name, code) in enumerate([("France", "FR"), ("Chad", "TD"), ("Peru", "PE")])
]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


# ---------------------------------------------------------------------------------------------------------- task files


def test_all_formats_give_the_same_items(tmp_path):
    records = [
        {"id": "a", "input": "France", "output": "FR", "popularity": 3, "language": "en", "group": "Europe"},
        {"id": "b", "input": "Chad, Africa", "output": "TD", "popularity": 0, "language": "en", "group": "Africa"},
    ]
    frame = pl.DataFrame(records)
    frame.write_csv(tmp_path / "items.csv")
    frame.write_parquet(tmp_path / "items.parquet")
    write_lines(tmp_path / "items.jsonl", records)
    read = [read_items(tmp_path / f"items.{format}") for format in ("csv", "parquet", "jsonl")]
    assert read[0] == read[1] == read[2]
    assert read[0][1] == Item("b", "Chad, Africa", "TD", (), 0.0, "en", "Africa")


def test_a_dataset_is_read_too(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"input": ["France"], "output": ["FR"]}).save_to_disk(tmp_path / "set")
    assert read_items(tmp_path / "set") == (Item("0", "France", "FR"),)


def test_columns_can_be_named_and_ids_are_numbers_by_default(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("label,code\nFrance,FR\nChad,TD\n")
    assert [item.id for item in read_items(path, ItemColumns("label", "code"))] == ["0", "1"]


@pytest.mark.parametrize("answer", ["blue", 1, "B"])
def test_choices_name_their_answer_by_text_number_or_letter(tmp_path, answer):
    path = write_lines(tmp_path / "q.jsonl", [{"input": "Sky?", "choices": ["red", "blue"], "answer": answer}])
    assert read_items(path)[0] == Item("0", "Sky?", "blue", ("red", "blue"))


def test_choices_in_csv_are_separated_by_bars(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("input,choices,output\nSky?,red|blue,A\n")
    assert read_items(path)[0].output == "red"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "has no item; write one a line"),
        (
            [{"input": "a", "code": "b"}],
            "line 1 has no column 'output'. It has: input, code; name one: --output-column.",
        ),
        ([{"inputs": "a", "output": "b"}], "has no column 'input'. Did you mean 'inputs'? It has: inputs, output;"),
        ([{"input": " ", "output": "b"}], "line 1 has no text of one line in the column 'input' (' '); fill it."),
        (
            [{"id": 7, "input": "a", "output": "b"}, {"id": 7, "input": "c", "output": "d"}],
            "line 2: the id '7' occurs twice (first in line 1); ids name items, so give each its own",
        ),
        ([{"input": "a", "output": "b", "popularity": -1}], "the popularity -1 is not a number of 0 or more"),
        ([{"input": "a", "output": "b", "popularity": "many"}], "the popularity 'many' is not a number of 0 or more"),
        ([{"input": "a", "output": "7", "choices": ["x", "y"]}], "the answer '7' is none of its 2 choices"),
        ([{"input": "a", "output": "x", "choices": ["x"]}], "has choices that are not at least two different texts"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, records, message):
    with pytest.raises(CorpusError) as raised:
        read_items(write_lines(tmp_path / "items.jsonl", records))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(CorpusError, match=r"There is no file .*items\.csv; check the path; if it is the name of a"):
        read_items(tmp_path / "items.csv")
    with pytest.raises(CorpusError, match="csv, jsonl, parquet or datasets, not from 'xml'"):
        list(read_table(tmp_path, "xml"))


# ----------------------------------------------------------------------------------------------- templates and examples


def test_a_prompt_ends_where_the_answer_begins():
    template = Template("t", "The code of {input} is {output}.")
    assert prompt(template, (), COUNTRIES[0]) == "The code of France is"
    assert template.gap == " "
    assert prompt(template, COUNTRIES[1:2], COUNTRIES[0]) == "The code of Chad is TD.\nThe code of France is"
    assert template.end == "."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("The code is {output}", "lacks the slot {input}; write each once"),
        ("The code of {input} is", "lacks the slot {output}"),
        ("{input} {input} {output}", "has more than once the slot {input}"),
        ("The code of {inputs} is {output}", "has the slot {inputs}, which is unknown. Did you mean 'input'?"),
        ("{output} is the code of {input}", "must be one line in which {input} comes before {output}"),
    ],
)
def test_a_template_without_its_slots_is_one_line(text, message):
    with pytest.raises(OptionError) as raised:
        parse_template(text)
    assert str(raised.value).startswith(f"--template {text!r} ")
    assert message in str(raised.value)


def test_templates_come_from_files_with_their_languages(tmp_path):
    write_lines(
        tmp_path / "t.jsonl", [{"template": "Il codice di {input} è {output}", "language": "it", "name": "italian"}]
    )
    (tmp_path / "t.txt").write_text("{input}: {output}\n\n{input} = {output}\n")
    templates = read_templates(["The code of {input} is {output}", str(tmp_path / "t.jsonl"), str(tmp_path / "t.txt")])
    assert [template.name for template in templates] == ["template 1", "italian", "template 3", "template 4"]
    assert templates[1].language == "it"
    assert not templates[1].fits(Item("0", "a", "b", language="en"))
    with pytest.raises(OptionError, match=r"neither a template with \{input\} and \{output\} nor a file of them"):
        read_templates([str(tmp_path / "none.txt")])


def test_examples_are_held_out_with_their_groups_and_have_different_answers():
    items = [Item(str(n), f"i{n}", str(n % 5), group=f"g{n // 2}") for n in range(40)]
    examples = choose_examples(items, 3, seed=0)
    assert examples == choose_examples(items, 3, seed=0)
    assert examples != choose_examples(items, 3, seed=1)
    assert len({example.output for example in examples}) == 3
    asked = asked_items(items, examples)
    assert not {item.group for item in asked} & {example.group for example in examples}
    assert 34 <= len(asked) <= 37
    with pytest.raises(OptionError, match=r"--shots 3 are taken from the items and not asked, and there are 6"):
        choose_examples(items[:6], 3, seed=0)


def test_an_answer_in_its_own_prompt_is_refused_and_a_part_of_a_word_is_not():
    template = Template("t", "The code of {input} is {output}.")
    check_prompts([Item("0", "Afghanistan AFG", "AF")], [template])
    with pytest.raises(
        CorpusError, match=r"The answer 'AF' of the item '0' stands in its prompt \('The code of AF land"
    ):
        check_prompts([Item("0", "AF land", "AF")], [template])
    check_prompts([Item("0", "red or blue?", "blue", ("red", "blue"))], [template])  # choices are there to be seen
    with pytest.raises(CorpusError, match=r"has '\.', which ends answers in"):
        check_prompts([Item("0", "a", "St. Louis")], [template])
    with pytest.raises(CorpusError, match=r"is of the language 'fr', of which no template is"):
        check_prompts([Item("0", "a", "b", language="fr")], [Template("t", "{input} {output}", "it")])


# ------------------------------------------------------------------------------------------------------------- parsing


def test_an_answer_ends_where_its_word_ends():
    parser = make_parser(None, "exact", ["1", "11", "GO:0008150"], [])
    assert parser.kind == "word"
    assert [parser.parse(text) for text in (" 1.", "\n11\n1", " 1st", " GO:0008150. The", "...")] == [
        "1",
        "11",
        "1st",
        "GO:0008150",
        None,
    ]
    assert parser.is_right(parser.parse(" 1."), "1")
    assert not parser.is_right(parser.parse(" 11."), "1")  # one id is the beginning of another
    assert not parser.is_right(None, "1")


def test_an_answer_of_several_words_is_a_line_up_to_the_end_of_the_template():
    parser = make_parser(None, "exact", ["New York", "Paris"], [".", ""])
    assert parser.kind == "line"
    assert parser.parse(" New York. The capital") == "New York"
    assert parser.parse(" New York\nNext") == "New York"


def test_normalization_and_patterns_are_the_users():
    assert make_parser(None, "case", ["FR"], []).is_right("fr", "FR")
    assert not make_parser(None, "exact", ["FR"], []).is_right("fr", "FR")
    parser = make_parser(r"[A-Z]{2}\b", "exact", ["FR"], [])
    assert parser.parse("It is called FR by all") == "FR"
    with pytest.raises(OptionError, match=r"--answer '\[' is neither word nor line, nor a pattern"):
        make_parser("[", "exact", ["FR"], [])
    with pytest.raises(OptionError, match=r"in the right answer 'New York' it finds 'New', so that no answer could be"):
        make_parser("word", "exact", ["New York"], [])


# ------------------------------------------------------------------------------------------------------------ controls


def test_made_up_items_are_new_and_of_the_same_form():
    items = [
        Item(str(n), name, f"{name[:2].upper()}{n:02}") for n, name in enumerate(["Barra", "Marra", "Marba", "Karma"])
    ]
    inputs = made_up_inputs(items, 5, seed=0)
    assert inputs == made_up_inputs(items, 5, seed=0)
    assert inputs
    assert not {text.casefold() for text in inputs} & {item.input.casefold() for item in items}
    outputs = made_up_outputs(items, seed=0)
    assert all(output and output not in {item.output for item in items} for output in outputs)
    assert all(output[:2].isupper() and output[2:].isdigit() for output in outputs if output)
    assert made_up_outputs([Item(str(n), "a", str(n)) for n in range(10)], 0) == [None] * 10  # all ten digits are taken


def test_baselines_that_know_nothing():
    assert majority_output([Item("0", "a", "x"), Item("1", "b", "y"), Item("2", "c", "y")]) == ("y", 2)
    assert initials_guess(Item("0", "Afghanistan", "AF"))
    assert initials_guess(Item("0", "United States", "US"))
    assert not initials_guess(Item("0", "Chad", "TD"))


def test_candidates_are_the_items_own_choices_or_drawn_answers():
    outputs = [str(n) for n in range(20)]
    drawn = candidate_answers(Item("a", "i", "3"), outputs, 5, 0)
    assert drawn[0] == "3"
    assert len(set(drawn)) == 5
    assert candidate_answers(Item("b", "i", "3"), outputs, 5, 0) != drawn
    assert candidate_answers(Item("a", "i", "y", ("x", "y", "z")), outputs, 5, 0) == ["y", "x", "z"]
    assert candidate_answers(Item("a", "i", "3"), outputs, 0, 0) == ["3"]
    assert rank_of_first([-1.0, -2.0, -0.5]) == 2
    assert rank_of_first([-1.0, -1.0, -1.0]) == 2  # the mean of 1, 2, 3


# -------------------------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    encoder = byte_level_encoder(tmp_path_factory.mktemp("tokenizer"))
    model = causal_model(neox(encoder.vocabulary, seed=1, hidden_size=16))
    return LocalModel(model, ModelCard("m", "m", "m", encoder.vocabulary, max_length=64, eos=()), encoder), encoder


def test_the_chance_of_an_answer_is_that_of_its_tokens(local):
    import torch

    model, encoder = local
    scores = model.score("the cat sat", [" on", " on the mat"])
    for answer, value in zip((" on", " on the mat"), scores.log_probability, strict=True):
        context, whole = encoder.encode(["the cat sat", f"the cat sat{answer}"])
        logits = model._model.head(model._model.start(1, 64).feed(torch.tensor([whole]))[0]).double().log_softmax(-1)
        expected = sum(float(logits[place - 1, whole[place]]) for place in range(len(context), len(whole)))
        assert value == pytest.approx(expected, abs=1e-6)
    assert scores.tokens.tolist() == encoder.encode(["the cat sat on"])[0]


def test_the_greedy_answer_is_the_one_that_is_greedy_when_scored(local):
    model, _ = local
    prompts = ["the cat", "on the mat the cat sat", "x"]
    for text, ((answer,),) in zip(prompts, ([row] for row in model.complete(prompts, max_tokens=4)), strict=True):
        whole = model.score(text, [answer.text, " zz"])
        if model.token_count(answer.text) == 4:  # else the text has other tokens than were written
            assert whole.is_greedy[0]
        assert not whole.is_greedy[1]


def test_samples_depend_on_prompt_and_seed_alone(local):
    model, _ = local
    alone = model.complete(["the mat"], max_tokens=6, temperature=1.0, seed=5, n=3)
    among = model.complete(["the cat", "the mat", "sat on"], max_tokens=6, temperature=1.0, seed=5, n=3)
    assert among[1] == alone[0]
    assert len({text.text for text in alone[0]}) > 1
    assert model.complete(["the mat"], max_tokens=6, temperature=1.0, seed=6, n=3) != alone
    cold = model.complete(["the mat"], max_tokens=6, temperature=1e-6, seed=5, n=2)
    assert cold[0][0] == cold[0][1] == model.complete(["the mat"], max_tokens=6)[0][0]


def test_samples_follow_the_chances(local):
    import torch

    model, encoder = local
    ids = torch.tensor([encoder.encode(["the mat"])[0]])
    chances = model._model.head(model._model.start(1, 64).feed(ids)[:, -1]).double()[0].div(0.2).softmax(-1).numpy()
    from mematlas.scoring.engines.prompting import sampled_continuations

    drawn = sampled_continuations(model._model, [ids[0].numpy()] * 3000, 1, 0.2, [(0, n) for n in range(3000)])
    counts = np.bincount(np.concatenate(drawn), minlength=len(chances))
    common = chances > 0.004
    assert common.sum() > 20
    errors = np.abs(counts / 3000 - chances)[common] / np.sqrt(chances * (1 - chances) / 3000)[common]
    assert errors.max() < 4


def test_a_prompt_that_is_too_long_is_one_line(local):
    model, _ = local
    with pytest.raises(
        ModelError, match=r"A prompt of \d+ tokens and its answer of up to 4 are longer than m reads \(64"
    ):
        model.complete(["x" * 100], max_tokens=4)
