"""Stand-ins of models that answer texts, and a task that they know in part."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mematlas.probes.items.answering import Text

TEMPLATE = "The code of {input} is {output}."


@dataclass
class Lookup:
    """Answers by a function of the question's last line, and counts what it was asked."""

    answer: Callable[[str, float, int], str]
    asked: int = 0
    calls: int = 0
    breaks_at: int | None = None

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, n: int = 1
    ) -> list[list[Text]]:
        self.calls += 1
        if self.breaks_at is not None and self.calls > self.breaks_at:
            raise KeyboardInterrupt
        self.asked += n * len(prompts)
        lines = [prompt.splitlines()[-1] for prompt in prompts]
        return [[Text(self.answer(line, temperature, repeat)) for repeat in range(n)] for line in lines]


def name(number: int) -> str:
    """A label of two words in which no code stands."""
    return f"{'abcdefghij'[number // 10 % 10] * 3}{'abcdefghij'[number // 100]} {'klmnopqrst'[number % 10] * 4}"


def code(number: int) -> str:
    return f"Q{number * 7919 % 9973:04}"


def write_task(path, count: int, popularity: Callable[[int], float] | None = float):
    """A task file of so many items; their popularity is their number by default."""
    records = [
        {"id": str(n), "input": name(n), "output": code(n)}
        | ({} if popularity is None else {"popularity": popularity(n)})
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def knows(count: int, known: Callable[[int], bool]) -> Callable[[str, float, int], str]:
    """Answers rightly where `known`, and with the code of another item elsewhere."""
    codes = {name(n): code(n) if known(n) else code((n + 1) % count) for n in range(count)}

    def answer(line: str, temperature: float, repeat: int) -> str:
        label = line.removeprefix("The code of ").removesuffix(" is")
        return f" {codes.get(label, 'unknown')}. The"

    return answer
