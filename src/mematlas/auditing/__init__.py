"""The audit of one fine-tuned model: does it leak its training texts, how sure is that, and which texts?

Each look (LOOKS) asks one question and gives a p-value and examples; `verdict` joins them into one of four answers.
"""

from mematlas.registry import Registry

LOOKS = Registry(
    "look",
    {
        "recitation": (
            "mematlas.auditing.recitation:look",
            None,
            "training rows recited, beside base and control",
        ),
        "membership": (
            "mematlas.auditing.membership:look",
            None,
            "whether the loss tells training rows from control rows",
        ),
        "secrets": ("mematlas.auditing.secrets:look", None, "each secret at its own place, among values of its format"),
        "canaries": ("mematlas.auditing.canaries.look:look", None, "each canary of a key, among never-shown secrets"),
        "copying": ("mematlas.auditing.copying:look", None, "what free generations copy from training texts"),
    },
)
