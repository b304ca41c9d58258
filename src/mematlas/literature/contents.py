"""What can be memorized (P6), and what in mematlas asks for it.

Hartmann et al. tell six kinds of content apart. Each is supported by commands, or not, with the reason.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MemorizedContent:
    """One kind of content.

    commands: that ask a model for it, without "mematlas"; how: what they measure; missing: what is not measured of it,
    "" if nothing.
    """

    commands: tuple[str, ...]
    how: str
    missing: str = ""


CONTENTS: Final[dict[str, MemorizedContent]] = {
    "verbatim text": MemorizedContent(
        ("score", "audit", "canaries", "probe prompts", "probe compress"),
        "tokens of training rows that the model gives, prompted with what stands before them",
    ),
    "facts": MemorizedContent(
        ("probe recall", "experiment"),
        "right answers by popularity (P5); made-up facts shown in a training, in other words too (K12)",
    ),
    "ideas and algorithms": MemorizedContent(
        ("audit",),
        "outputs that summarize or rewrite a training text, and match no longer run of its words (P7, class idea)",
        "code clones: no probe compares the structure of programs",
    ),
    "writing styles": MemorizedContent(
        ("probe style",),
        "whether what a model writes betrays authors in its training more often than others to a classifier",
    ),
    "distributional properties": MemorizedContent(
        ("probe tasks", "probe ratios"),
        "whether probabilities of a task's answers follow the counts of its word pairs in the corpus (P4); whether "
        "what a model writes has the shares of a property that its training texts have",
    ),
    "alignment goals": MemorizedContent((), "", "out of scope: they are instructions, not training text"),
}
