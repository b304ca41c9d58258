"""Token rows in: one reader per format, found by content where the format has a signature, else named."""

from mematlas.registry import Registry

FORMATS = Registry(
    "format",
    {
        "text": ("mematlas.corpus.text:TextFormat", None, "plain text files, or a directory of them"),
        "jsonl": ("mematlas.corpus.jsonl:JsonlFormat", None, "JSON lines (also .gz, .zst) with a text or token column"),
        "parquet": ("mematlas.corpus.parquet:ParquetFormat", None, "Parquet files with a text or token column"),
        "datasets": (
            "mematlas.corpus.datasets:DatasetsFormat",
            "datasets",
            "a Hugging Face dataset: saved folder, or hub id",
        ),
        "memmap": (
            "mematlas.corpus.memmap:MemmapFormat",
            None,
            "headerless uint16/uint32 tokens; name --row-length and --token-dtype",
        ),
        "npy": ("mematlas.corpus.npy:NpyFormat", None, "a 2-D .npy array, one row of token ids a line"),
        "megatron": ("mematlas.corpus.megatron:MegatronFormat", None, "Megatron / GPT-NeoX prefix.bin + prefix.idx"),
        "pythia": (
            "mematlas.corpus.pythia:PythiaFormat",
            None,
            "published Pythia order: document-*.bin shards read as one stream of 2049-token rows",
        ),
    },
)
