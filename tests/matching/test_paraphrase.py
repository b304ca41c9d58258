"""Paraphrase models in local folders: transformers' classifiers and CrossEncoders, tiny ones made here."""

import pytest

from mematlas.errors import ModelError
from mematlas.matching.paraphrase import load_paraphrase_model

transformers = pytest.importorskip("transformers", reason='models need pip install "mematlas[hf]"')

PAIRS = [("a b", "b a"), ("a", "c c c c"), ("b", "b")]


def save_classifier(folder, labels):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from torch import manual_seed

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[SEP]": 2, "a": 3, "b": 4, "c": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A [SEP]", "$A [SEP] $B:1 [SEP]:1", [("[SEP]", 2)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]", model_max_length=32
    ).save_pretrained(folder)
    manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=6, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=labels,
        pad_token_id=0, initializer_range=1.0,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)


@pytest.mark.parametrize("labels", [1, 2])
def test_probabilities_are_those_of_the_positive_class(tmp_path, labels):
    import torch

    save_classifier(tmp_path, labels)
    found = load_paraphrase_model(tmp_path)(PAIRS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        logits = [model(**tokenizer(*pair, return_tensors="pt")).logits[0] for pair in PAIRS]
    expected = [float(each.sigmoid()[0] if labels == 1 else each.softmax(-1)[1]) for each in logits]
    assert found == pytest.approx(expected, abs=1e-5)
    assert len({round(value, 3) for value in found}) == 3
    assert load_paraphrase_model(str(tmp_path))([]) == []


def test_three_classes_and_absent_models_are_refused_in_one_line(tmp_path):
    save_classifier(tmp_path / "three", 3)
    for folder, message in (
        (
            tmp_path / "three",
            "The classifier in {} has 3 classes; a paraphrase model has two, or one output: name another.",
        ),
        (
            tmp_path / "none",
            "{} has no config.json; name a local folder with a classifier of sentence pairs, as save_pretrained() "
            "writes it.",
        ),
    ):
        with pytest.raises(ModelError) as raised:
            load_paraphrase_model(folder)
        assert str(raised.value) == message.format(folder)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged cannot be loaded as a classifier of sentence pairs"):
        load_paraphrase_model(tmp_path / "damaged")
