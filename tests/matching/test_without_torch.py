"""The whole room works where torch and all else that models need are not installed."""

import subprocess
import sys

SCRIPT = """
import sys
for name in ("torch", "transformers", "tokenizers", "blingfire"):
    sys.modules[name] = None
from mematlas.errors.libraries import missing_libraries
from mematlas.errors import MissingExtra
from mematlas.matching.detector import detect
from mematlas.matching.paraphrase import load_paraphrase_model
from mematlas.matching.secrets.alternatives import alternatives
from mematlas.matching.secrets.finding import find_secrets
from mematlas.matching.secrets.patterns import PATTERNS
text = "A sentence that is long enough to count as a copy of some other one. Another one follows."
found = detect([text, "Nothing."], [text])
print([output.label for output in found.outputs], found.splitter)
print([secret.pattern for secret in find_secrets(["a@b.org"])], len(alternatives("8.8.8.8", PATTERNS["ipv4"], 2, 0)))
sys.modules["bm25s"] = None
for call in (lambda: load_paraphrase_model("folder"), lambda: detect([text], [text])):
    try:
        with missing_libraries("The audit"):
            call()
    except MissingExtra as error:
        print(error)
"""


def test_texts_are_compared_and_secrets_found_without_torch():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['verbatim', 'none'] regex",
        "['email'] 2",
        "The audit needs the library 'torch', which is not installed; run: pip install \"mematlas[hf]\"",
        "The audit needs the library 'bm25s', which is not installed; run: pip install \"mematlas[audit]\"",
    ]
