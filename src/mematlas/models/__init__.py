"""Model backends: Hugging Face causal models, GGUF files, APIs, and the stand-ins that come with the package."""

from mematlas.registry import Registry

MODELS = Registry(
    "model",
    {
        "hf": (
            "mematlas.models.folders:resolve",
            "hf",
            "Hugging Face causal model: folder, training run, adapter[@base], or hub id[@revision]",
        ),
        "gguf": ("mematlas.models.gguf:resolve", "gguf", "a .gguf file, dequantized on loading"),
        "api": (
            "mematlas.models.endpoints.source:resolve",
            None,
            "model behind an API (vLLM, llama.cpp, OpenAI ...); api:URL#MODEL",
        ),
        "uniform": (
            "mematlas.models.standins.uniform:resolve",
            "hf",
            "stand-in: every token equally likely; uniform:VOCABULARY",
        ),
        "parrot": (
            "mematlas.models.standins.parrot:resolve",
            "hf",
            "stand-in: recites rows of a 2-D .npy file; parrot:ROWS.npy[:FIRST]",
        ),
        "ngram": (
            "mematlas.models.standins.ngram:resolve",
            "hf",
            "stand-in: counts n-grams of a 2-D .npy file; ngram:ROWS.npy[:N]",
        ),
        "noise": (
            "mematlas.interventions.noise:resolve",
            "hf",
            "a model with noise after its first block; noise:STRENGTH[/SEED]@MODEL",
        ),
        "heads": (
            "mematlas.interventions.heads:resolve",
            "hf",
            "a model without some attention heads (the mean of others instead); heads:LAYER.HEAD+...@MODEL",
        ),
        "heads-zero": (
            "mematlas.interventions.heads:resolve_zero",
            "hf",
            "the same with zero instead of the mean; heads-zero:LAYER.HEAD+...@MODEL",
        ),
    },
)
