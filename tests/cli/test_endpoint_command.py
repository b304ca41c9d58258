"""`mematlas endpoint` says what a server gives, and so what can be scored."""

import json

import pytest

from tests import tiny_networks as networks
from tests.endpoint_server import serve


@pytest.fixture(scope="module")
def network():
    return networks.neox(61)


@pytest.mark.parametrize(
    ("variant", "part"),
    [
        ("full", "mematlas score: --depth graded and --depth verbatim."),
        ("echo", "mematlas score: --depth verbatim."),
        ("silent", "mematlas score: not possible, as neither ids nor log-probabilities come back."),
        ("text", "prompts of token ids: no (http"),
    ],
)
def test_what_is_printed(cli, network, variant, part, tmp_path):
    with serve(network, variant) as served:
        code, out, err = cli("endpoint", f"{served.url}#tiny", "--out", str(tmp_path / "asked"))
    assert code == 0, err
    assert part in out
    assert json.loads((tmp_path / "asked" / "capabilities.json").read_text())["model"] == "tiny"
    assert list((tmp_path / "asked").glob("*.jsonl"))


def test_json(cli, network):
    with serve(network, "text", flips=True) as served:
        code, out, err = cli("endpoint", f"api:{served.url}#tiny", "--json", "--endpoint", "chat")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["accepts_ids"], found["deterministic"], found["top"]) == (False, False, None)
    assert found["reasons"]["deterministic"] == "3 equal requests at temperature 0 had different answers"
    assert found["spent"]["requests"] == len(served.log) == 3
