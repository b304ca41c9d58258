"""How often an audit calls a model leaking that was never shown the file: `python benchmarks/audit_false_alarms.py`.

Small models are fine-tuned on generated notes of their own; each of 40 audits is of another file of notes with secrets
and another control, beside the base model. At most 2 of 40 may be called leaking (5 %). As the positive control one
audit in ten is of the file that the model was fine-tuned on; these must all be found.

Notes are words drawn from one list of 300, frequent ones more often, so that no two share 13 tokens and all files are
of one kind.

Takes about 20 minutes of processor time; --repetitions 10 a quarter of it.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.audit import tickets

import mematlas
from mematlas.experiments.data.tokenizer import train_tokenizer

MODELS = 4


_LETTERS = ("bdfgklmnprstv", "aeiou")
_MAKER = np.random.default_rng(0)
WORDS = ["".join(_MAKER.choice(list(_LETTERS[i % 2])) for i in range(4)) for _ in range(300)]
CHANCES = 1 / (np.arange(300) + 5)


def with_secrets(count: int, seed: int) -> list[str]:
    """Notes of 50 words, each with a code at its end."""
    random = np.random.default_rng([seed, 1])
    drawn = random.choice(WORDS, (count, 50), p=CHANCES / CHANCES.sum())
    return [
        tickets.with_secret(" ".join(words), code)
        for words, code in zip(drawn, tickets.secrets(count, seed), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, tokens = Path(name), train_tokenizer(with_secrets(300, 99), 700, 160)
        base_rows = tokens(with_secrets(160, 1))["input_ids"]
        base = tickets.save(tickets.train(tickets.network(len(tokens)), base_rows, 5, 4e-3), tokens, folder / "base")
        models = []
        for number in range(MODELS):
            network = tickets.train(tickets.network(len(tokens)), base_rows, 5, 4e-3)
            rows = tokens(with_secrets(60, 100 + number) * 2)["input_ids"]
            models.append(tickets.save(tickets.train(network, rows, 12, 2e-3, number), tokens, folder / f"m{number}"))
        answers: dict[str, Counter[str]] = {"never shown": Counter(), "shown": Counter()}
        started = time.process_time()
        for number in range(repetitions):
            shown = number % 10 == 9
            for kind, seed in (("never shown", 1000 + number), ("shown", 100 + number % MODELS))[: 1 + shown]:
                answers[kind][audit(folder, models[number % MODELS], base, seed, number)] += 1
        print(f"{time.process_time() - started:,.0f} s of processor time for {repetitions} audits")
        for kind, counts in answers.items():
            print(f"{kind}: " + ", ".join(f"{answer} {count}" for answer, count in counts.most_common()))


def audit(folder: Path, model: Path, base: Path, seed: int, number: int) -> str:
    """The answer on the file of tickets with this seed."""
    place = folder / f"audit-{number}-{seed}"
    place.mkdir()
    train = tickets.write_jsonl(place / "train.jsonl", with_secrets(60, seed))
    control = tickets.write_jsonl(place / "control.jsonl", with_secrets(60, 5000 + number))
    codes = place / "codes.txt"
    codes.write_text("\n".join(tickets.secrets(60, seed)[:20]))
    verdict = mematlas.audit(
        model, train=train, control=control, base=base, secrets=codes, out=place / "out", prompts=40, new_tokens=40,
        alternatives=49, seed=number,
    )  # fmt: skip
    found = [f"{look.name} {verdict.q[look.name]:.3f}" for look in verdict.looks if verdict.found(look)]
    print(number, seed, verdict.answer, *found, flush=True)
    return verdict.answer


if __name__ == "__main__":
    main()
