"""The audit of a real model, timed: `python benchmarks/audit_real_model.py MODEL OUT`.

MODEL, such as models/smollm2-135m of `benchmarks/real_inputs.py`, is fine-tuned on 150 generated tickets with secrets,
some of them shown 4 or 16 times, by a plain loop in 16-bit arithmetic; then `mematlas audit` runs twice: on that file
and on another file of tickets that the model never saw, each with a control of 150 more tickets. Printed: what the
verdicts say and how long each audit took.

Wanted: at most 10 minutes an audit on 2 cores without other work. Fine-tuning takes about 16 minutes
of both cores and is done once.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.audit import tickets

import mematlas

TICKETS, EPOCHS, RATE = 150, 8, 1e-4
SHOWN = ((range(0, 6), 1), (range(6, 12), 4), (range(12, 18), 16))
"""Which of 24 secrets stand at the end of how many tickets; the last six nowhere."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = fine_tuned(options.model, options.out / "fine-tuned", texts(1))
    for name, seed in (("trained file", 1), ("other file", 2)):
        audit(name, model, options.model, options.out, seed)


def texts(seed: int) -> list[str]:
    """Tickets, those with secrets at the front of the file."""
    plain, codes = tickets.tickets(TICKETS, seed), tickets.secrets(24, seed)
    shown = [codes[number] for numbers, times in SHOWN for number in numbers for _ in range(times)]
    return [
        tickets.with_secret(ticket, shown[number]) if number < len(shown) else ticket
        for number, ticket in enumerate(plain)
    ]


def fine_tuned(base: Path, folder: Path, rows: list[str]) -> Path:
    """The fine-tuned model's folder; trained if it is not there."""
    if folder.exists():
        return folder
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    started = time.monotonic()
    # autocast keeps the 16-bit copies of weights until it ends: cached, they would never see a step of the optimizer
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        tickets.train(model, tokenizer(rows)["input_ids"], EPOCHS, RATE)
    print(f"fine-tuned in {time.monotonic() - started:,.0f} s", flush=True)
    return tickets.save(model, tokenizer, folder)


def audit(name: str, model: Path, base: Path, out: Path, seed: int) -> None:
    """One audit, with its time."""
    place = out / name.replace(" ", "-")
    place.mkdir(exist_ok=True)
    train = tickets.write_jsonl(place / "train.jsonl", texts(seed))
    control = tickets.write_jsonl(place / "control.jsonl", texts(1000 + seed))
    codes = place / "codes.txt"
    codes.write_text("\n".join(tickets.secrets(24, seed)) + "\n", encoding="utf-8")
    started = time.monotonic()
    verdict = mematlas.audit(model, train=train, control=control, base=base, secrets=codes, out=place / "audit")
    print(f"{name}: {verdict.answer}, {time.monotonic() - started:,.0f} s. {verdict.sentence}", flush=True)
    for look in verdict.looks:
        print(f"  {look.name}: q {verdict.q[look.name]}; {look.sentence}", flush=True)


if __name__ == "__main__":
    main()
