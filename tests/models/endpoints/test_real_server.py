"""A real server on this machine: `transformers serve`, which accepts `echo` and `logprobs` and ignores them."""

import importlib.util
import socket
import subprocess
import sys
import time

import pytest

from mematlas.models.endpoints.capabilities import find_capabilities
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.options import EndpointOptions
from tests import tiny_networks as networks
from tests.byte_level_tokenizer import byte_level_encoder

MISSING = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
START_SECONDS = 240


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The folder of a tiny model, and the URL of a server that serves it."""
    if MISSING:
        pytest.skip(f"transformers serve needs {', '.join(MISSING)} (pip install 'transformers[serving]')")
    folder = tmp_path_factory.mktemp("served") / "tiny"
    networks.save_network(networks.neox(512, eos_token_id=511, bos_token_id=511, pad_token_id=511), folder)
    byte_level_encoder(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "serve",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    log = (folder.parent / "log.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "transformers.cli.transformers", *command], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        begun = time.monotonic()
        while time.monotonic() - begun < START_SECONDS:
            assert process.poll() is None, (folder.parent / "log.txt").read_text()[-2000:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield folder, f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        log.close()


@pytest.mark.slow
def test_a_real_server_is_not_believed_and_its_text_is_that_of_the_model(served, tmp_path):
    folder, url = served
    asked = Endpoint(f"{url}#{folder}", EndpointOptions(timeout=60), tmp_path, print)
    found = find_capabilities(asked)
    assert found.accepts_ids is False
    assert "prompt must be a string" in found.reasons["accepts_ids"]
    assert found.prompt_log_probabilities is False
    assert found.deterministic is True
    prompts = ["the cat sat", "on the mat the"]
    answers = asked.complete(prompts, max_tokens=6)
    assert [completion.text for (completion,) in answers] == [greedy_text(folder, prompt, 6) for prompt in prompts]
    assert [completion.tokens for (completion,) in answers] == [6, 6]
    before = len(next(tmp_path.rglob("*.jsonl")).read_bytes())
    assert asked.complete(prompts, max_tokens=6) == answers
    assert len(next(tmp_path.rglob("*.jsonl")).read_bytes()) == before


def greedy_text(folder, prompt, length):
    """What transformers generates in this process."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    generated = model.generate(ids, max_new_tokens=length, do_sample=False)
    return tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True)
