"""Recall of a real model on three lists: `python benchmarks/recall_real_model.py MODEL OUT [--texts FOLDER]`.

MODEL, such as models/smollm2-135m of `benchmarks/real_inputs.py`, is asked for HTTP status codes, ISO 3166 country
codes (`pip install pycountry`) and numbers of chemical elements, without and with three solved examples. With --texts,
the texts of the same script, popularity is counted in them: a rough stand-in for the corpus of the model.
Printed: one line for each list and number of examples, and how long each list took.
"""

import argparse
import json
import time
from http import HTTPStatus
from pathlib import Path

import polars as pl

import mematlas
from mematlas.errors.libraries import missing_libraries
from mematlas.index.building import IndexOptions, build_index
from mematlas.models.huggingface import tokenizer_encoder

TEMPLATES = {
    "http": "The HTTP status code of {input} is {output}.",
    "countries": "The two-letter ISO country code of {input} is {output}.",
    "elements": "The atomic number of {input} is {output}.",
}
ELEMENTS = [
    "Hydrogen",
    "Helium",
    "Lithium",
    "Beryllium",
    "Boron",
    "Carbon",
    "Nitrogen",
    "Oxygen",
    "Fluorine",
    "Neon",
    "Sodium",
    "Magnesium",
    "Aluminium",
    "Silicon",
    "Phosphorus",
    "Sulfur",
    "Chlorine",
    "Argon",
    "Potassium",
    "Calcium",
    "Scandium",
    "Titanium",
    "Vanadium",
    "Chromium",
    "Manganese",
    "Iron",
    "Cobalt",
    "Nickel",
    "Copper",
    "Zinc",
    "Gallium",
    "Germanium",
    "Arsenic",
    "Selenium",
    "Bromine",
    "Krypton",
    "Rubidium",
    "Strontium",
    "Yttrium",
    "Zirconium",
    "Niobium",
    "Molybdenum",
    "Technetium",
    "Ruthenium",
    "Rhodium",
    "Palladium",
    "Silver",
    "Cadmium",
    "Indium",
    "Tin",
    "Antimony",
    "Tellurium",
    "Iodine",
    "Xenon",
    "Caesium",
    "Barium",
    "Lanthanum",
    "Cerium",
    "Praseodymium",
    "Neodymium",
    "Promethium",
    "Samarium",
    "Europium",
    "Gadolinium",
    "Terbium",
    "Dysprosium",
    "Holmium",
    "Erbium",
    "Thulium",
    "Ytterbium",
    "Lutetium",
    "Hafnium",
    "Tantalum",
    "Tungsten",
    "Rhenium",
    "Osmium",
    "Iridium",
    "Platinum",
    "Gold",
    "Mercury",
    "Thallium",
    "Lead",
    "Bismuth",
    "Polonium",
    "Astatine",
    "Radon",
    "Francium",
    "Radium",
    "Actinium",
    "Thorium",
    "Protactinium",
    "Uranium",
    "Neptunium",
    "Plutonium",
    "Americium",
    "Curium",
    "Berkelium",
    "Californium",
    "Einsteinium",
    "Fermium",
    "Mendelevium",
    "Nobelium",
    "Lawrencium",
    "Rutherfordium",
    "Dubnium",
    "Seaborgium",
    "Bohrium",
    "Hassium",
    "Meitnerium",
    "Darmstadtium",
    "Roentgenium",
    "Copernicium",
    "Nihonium",
    "Flerovium",
    "Moscovium",
    "Livermorium",
    "Tennessine",
    "Oganesson",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, help="folder of texts in which popularity is counted")
    parser.add_argument("--lists", default=",".join(TEMPLATES), help="comma-separated (%(default)s)")
    parser.add_argument("--most", type=int, default=250, help="items of a list (%(default)s)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    popularity = None if options.texts is None else f"index:{indexed(options.model, options.texts, options.out)}"
    for name in options.lists.split(","):
        ask(name, options, popularity)


def ask(name: str, options: argparse.Namespace, popularity: str | None) -> None:
    path = options.out / f"{name}.jsonl"
    records = [{"id": f"{name}-{number}", **record} for number, record in enumerate(items(name)[: options.most])]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    started = time.monotonic()
    result = mematlas.probe_recall(
        options.model,
        items=path,
        template=TEMPLATES[name],
        popularity=popularity,
        out=options.out / name,
        candidates=0,
        made_up=20,
    )
    seconds = time.monotonic() - started
    rho = result.table("correlations").filter(over="items", kind="spearman")
    rhos = dict(zip(rho["shots"], rho["estimate"], strict=True))
    for row in result.table("accuracy").filter(what="recall").to_dicts():
        control = result.table("accuracy").filter(what="shuffled labels", shots=row["shots"])["share"][0]
        initials = result.table("accuracy").filter(what="recall where initials say nothing", shots=row["shots"])
        print(
            f"{name:10} {row['shots']} examples: {row['hits']:3} of {row['n']:3} = {row['share']:.3f} "
            f"({row['low']:.3f} to {row['high']:.3f}), shuffled {control:.3f}, without initials "
            f"{initials['share'][0]:.3f} of {initials['n'][0]}, rho {rhos.get(row['shots'])}",
            flush=True,
        )
    print(f"{name:10} {seconds:.0f} s", flush=True)


def items(name: str) -> list[dict[str, str]]:
    """The items of a list, without those whose answer stands in their input."""
    if name == "http":
        pairs = [(status.phrase, str(status.value)) for status in HTTPStatus]
    elif name == "elements":
        pairs = [(element, str(number)) for number, element in enumerate(ELEMENTS, start=1)]
    else:
        with missing_libraries("The list of countries"):
            import pycountry
        pairs = [(country.name, country.alpha_2) for country in pycountry.countries]
    return [{"input": label, "output": output} for label, output in pairs if output not in label.split()]


def indexed(model: Path, texts: Path, out: Path) -> Path:
    """The index of the texts in a folder, as whole documents of the model's tokens."""
    encoder = tokenizer_encoder(str(model), 1 << 20)
    documents = [
        json.loads(line)["text"] for file in sorted(texts.glob("*.jsonl")) for line in file.read_text().splitlines()
    ]
    path = out / "texts.parquet"
    pl.DataFrame({"tokens": encoder.encode(documents)}, schema={"tokens": pl.List(pl.Int64)}).write_parquet(path)
    options = IndexOptions(
        str(texts), encoder.vocabulary, tokenizer=str(model), tokenizer_fingerprint=encoder.fingerprint, workers=1
    )
    build_index(mematlas.open_corpus(path), out / "index", options)
    return out / "index"


if __name__ == "__main__":
    main()
