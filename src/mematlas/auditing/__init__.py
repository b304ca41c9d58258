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
            "training rows recited, beside the base and a control",
        ),
        "membership": (
            "mematlas.auditing.membership:look",
            None,
            "whether the loss tells training rows from a control's",
        ),
        "secrets": ("mematlas.auditing.secrets:look", None, "each secret at its own place, among values of its format"),
        "copying": ("mematlas.auditing.copying:look", None, "what free generations copy from training texts"),
    },
)
