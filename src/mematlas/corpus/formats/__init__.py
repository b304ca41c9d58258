"""Corpus formats, one reader per file: a new format is a file here and an entry in FORMATS."""

from mematlas.registry import Registry

# Signatures are checked in this order: unmistakable ones come before ambiguous ones.
FORMATS = Registry(
    "format",
    {
        "pythia": (
            "mematlas.corpus.formats.pythia:PythiaFormat",
            None,
            "published Pythia order: document-*.bin shards read as one stream of 2049-token rows",
        ),
        "megatron": (
            "mematlas.corpus.formats.megatron:MegatronFormat",
            None,
            "Megatron / GPT-NeoX prefix.bin + prefix.idx",
        ),
        "npy": (
            "mematlas.corpus.formats.npy:NpyFormat",
            None,
            "a .npy array, 2-D with one row per line, or flat with --row-length",
        ),
        "datasets": (
            "mematlas.corpus.formats.datasets:DatasetsFormat",
            "datasets",
            "a Hugging Face dataset: saved folder, or hub id",
        ),
        "parquet": ("mematlas.corpus.formats.parquet:ParquetFormat", None, "Parquet files with a text or token column"),
        "arrow": (
            "mematlas.corpus.formats.arrow:ArrowFormat",
            None,
            "Arrow files (also Feather) with a text or token column",
        ),
        "jsonl": (
            "mematlas.corpus.formats.jsonl:JsonlFormat",
            None,
            "JSON lines or a JSON array (also .gz, .zst) with a text or token column",
        ),
        "csv": (
            "mematlas.corpus.formats.csv:CsvFormat",
            None,
            "CSV or TSV (also .gz, .zst) with a header and a text or token column",
        ),
        "memmap": (
            "mematlas.corpus.formats.memmap:MemmapFormat",
            None,
            "headerless uint16/uint32 tokens; name --row-length and --token-dtype",
        ),
        "text": ("mematlas.corpus.formats.text:TextFormat", None, "plain text files, or a directory of them"),
    },
)
