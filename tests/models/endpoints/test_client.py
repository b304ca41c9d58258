"""The client of APIs: no answer is lost or doubled, whatever goes wrong; pace, budget and keys are kept."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from mematlas.errors import ModelError, OptionError, StudyError
from mematlas.models.endpoints import client as client_module
from mematlas.models.endpoints.address import parse_address
from mematlas.models.endpoints.answers import AnswerStore
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.limits import Pace, Usage
from mematlas.models.endpoints.options import EndpointOptions
from mematlas.models.endpoints.requests import completion_of, incomplete, text_request
from tests.endpoint_server import FAULTS, serve

PROMPTS = [f"prompt number {number}" for number in range(40)]


def endpoint(served, folder=None, first_wait=0.01, **options):
    return Endpoint(f"{served.url}#tiny", EndpointOptions(**options), folder, first_wait=first_wait)


def texts(answers):
    return [[completion.text for completion in several] for several in answers]


def expected(seeds=(0,)):
    return [[f" answer {sum(prompt.encode()) + seed}" for seed in seeds] for prompt in PROMPTS]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("MEMATLAS_API_KEY", raising=False)


@pytest.mark.parametrize("kind", ["completions", "chat"])
def test_every_fault_is_repeated_and_no_answer_is_lost_or_doubled(tmp_path, kind):
    faults = {3 * number: fault for number, fault in enumerate(FAULTS)}
    with serve(faults=faults) as served:
        answers = endpoint(served, tmp_path, endpoint=kind, timeout=8).complete(PROMPTS, max_tokens=4)
    assert texts(answers) == expected()
    assert len(served.log) == len(PROMPTS) + len(FAULTS)
    assert set(served.answers().values()) == {1}
    lines = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert sum("answer" in line for line in lines) == len(PROMPTS)
    assert sum("fault" in line for line in lines) == len(FAULTS)
    assert any(line.get("reply") == '{"choices": [{"te' for line in lines)  # what came is kept as it was


def test_a_second_call_asks_nothing_and_a_changed_one_asks_again(tmp_path):
    with serve() as served:
        first = endpoint(served, tmp_path).complete(PROMPTS, max_tokens=4)
        again = endpoint(served, tmp_path).complete(PROMPTS, max_tokens=4)
        assert (first == again, len(served.log)) == (True, 40)
        endpoint(served, tmp_path).complete(PROMPTS[:5], max_tokens=5)
        assert len(served.log) == 45
        both = endpoint(served, tmp_path).complete(PROMPTS, max_tokens=4, n=2)
        assert len(served.log) == 85  # the first of two samples is known
        assert texts(both) == expected((0, 1))
    with serve() as other:  # the answers of one server are not those of another
        endpoint(other, tmp_path).complete(PROMPTS[:3], max_tokens=4)
        assert len(other.log) == 3


def test_equal_prompts_are_asked_once_and_the_display_counts_them_all(tmp_path):
    counted = []
    with serve() as served:
        answers = endpoint(served).complete(["a", "b", "a"], max_tokens=4, on_answer=counted.append)
        assert len(served.log) == 2
    assert answers[0] == answers[2]
    assert sum(counted) == 3


_KILLED = """
import sys
from pathlib import Path
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.options import EndpointOptions
options = EndpointOptions(requests_per_minute=1200)
Endpoint(sys.argv[1] + "#tiny", options, Path(sys.argv[2])).complete(
    [f"prompt number {number}" for number in range(40)], max_tokens=4
)
"""


def test_a_killed_process_loses_and_doubles_nothing(tmp_path):
    with serve() as served:
        process = subprocess.Popen([sys.executable, "-c", _KILLED, served.url, str(tmp_path)])
        while len(served.log) < 12:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (file,) = tmp_path.glob("*.jsonl")
        kept = file.read_bytes()
        file.write_bytes(kept[:-20])  # as if it had died while it wrote
        whole = [json.loads(line)["request"]["prompt"] for line in kept[:-20].split(b"\n")[:-1]]
        answers = endpoint(served, tmp_path).complete(PROMPTS, max_tokens=4)
        assert texts(answers) == expected()
        asked = Counter(body["prompt"] for _, body, _ in served.log)
        assert {asked[prompt] for prompt in whole} == {1}, "an answer that was kept was asked for again"
        assert 0 < len(whole) < 40
        assert max(asked.values()) == 2  # the one whose line was not whole


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"key": "k", "usage": [1, 2, 3], "answer": {}}\nnonsense\n')
    with pytest.raises(StudyError, match=r"^Line 2 of .*a\.jsonl is no answer of an API; delete the line"):
        AnswerStore(tmp_path)


def test_what_repetition_cannot_mend_ends_at_once(tmp_path, monkeypatch):
    with serve(key="sk-0123456789") as served:
        with pytest.raises(
            ModelError, match=r"asks for a key \(status 401.*MEMATLAS_API_KEY should have it, and it is"
        ):
            endpoint(served).complete(PROMPTS, max_tokens=4)
        assert len(served.log) <= 8  # those under way
        monkeypatch.setenv("OTHER_KEY", "sk-9876543210")
        with pytest.raises(ModelError) as raised:
            endpoint(served, key_variable="OTHER_KEY").complete(PROMPTS[:1], max_tokens=4)
        assert "OTHER_KEY should have it, and the key that it has was refused" in str(raised.value)
        assert "sk-9876543210" not in str(raised.value)  # the server repeats it
    with serve() as served, pytest.raises(ModelError, match=r"has no model 'tinny' .* Did you mean 'tiny'\?"):
        Endpoint(f"{served.url}#tinny").complete(["a"], max_tokens=4)
    with pytest.raises(ModelError, match=r"^Nothing listens at http://127\.0\.0\.1:9/v1"):
        Endpoint("http://127.0.0.1:9/v1#tiny").complete(["a"], max_tokens=4)


def test_a_server_that_never_recovers_ends_the_run_and_keeps_what_came(tmp_path):
    with serve() as served:
        served.stop_after = 10
        with pytest.raises(ModelError, match=r"gave status 500: stopped, 3 times in a row\. 10 answers are kept in .*"):
            endpoint(served, tmp_path, retries=2, concurrency=1).complete(PROMPTS, max_tokens=4)
        served.stop_after = None
        assert texts(endpoint(served, tmp_path).complete(PROMPTS, max_tokens=4)) == expected()
    assert set(served.answers().values()) == {1}


def test_a_server_may_ask_to_wait_but_not_for_long(monkeypatch):
    waits = []
    monkeypatch.setattr(client_module.Pace, "pause", lambda self, seconds: waits.append(seconds))
    with serve(faults={0: "429"}) as served:
        endpoint(served).complete(["a"], max_tokens=4)
        assert waits == [0.05]
        monkeypatch.setattr(client_module, "LONGEST_PAUSE", 0.01)
        served.faults[len(served.log)] = "429"
        with pytest.raises(ModelError, match=r"asks to wait 0 s \(status 429\), longer than 0 s"):
            endpoint(served).complete(["b"], max_tokens=4)


def test_a_budget_is_never_exceeded_and_counts_earlier_runs(tmp_path):
    with serve() as served:
        for _ in range(2):
            with pytest.raises(ModelError, match=r"^--max-requests 7 is reached: 7 requests, .* 7 answers are kept"):
                endpoint(served, tmp_path, max_requests=7).complete(PROMPTS, max_tokens=4)
        assert len(served.log) == 7
        assert texts(endpoint(served, tmp_path, max_requests=40).complete(PROMPTS, max_tokens=4)) == expected()
    assert set(served.answers().values()) == {1}
    with pytest.raises(OptionError, match="--max-cost 1 needs the prices"):
        Endpoint("http://127.0.0.1:9/v1#tiny", EndpointOptions(max_cost=1))


def test_the_announcement_says_what_it_takes_at_most():
    asked = Endpoint(
        "http://127.0.0.1:9/v1#tiny", EndpointOptions(price_input=2, price_output=8, max_cost=1.5, max_requests=50)
    )
    assert asked.announcement(10, Usage(10, 500_000, 250_000)) == (
        "tiny: at most 10 requests; at most 500,000 tokens in, 250,000 out, 3 at the given prices; capped at 50 "
        "requests, 1.5 for costs."
    )


def test_requests_are_evenly_spaced():
    now, waits = [0.0], []

    def wait(seconds):
        waits.append(round(seconds, 6))
        now[0] += seconds

    pace = Pace(EndpointOptions(requests_per_minute=60, tokens_per_minute=600), wait, lambda: now[0])
    for tokens in (5, 20, 5, 5):
        pace.take_turn(tokens)
    assert waits == [1.0, 2.0, 1.0]  # 20 tokens of 600 a minute take two seconds
    pace.pause(30)
    pace.take_turn(1)
    assert waits[-1] == 30.0


def test_as_many_requests_at_a_time_as_allowed():
    running, most, lock = [0], [0], threading.Lock()
    with serve() as served:
        original = Endpoint._try

        def counted(self, *args):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            try:
                time.sleep(0.02)
                return original(self, *args)
            finally:
                with lock:
                    running[0] -= 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Endpoint, "_try", counted)
            endpoint(served, concurrency=3).complete(PROMPTS, max_tokens=4)
    assert most[0] == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ftp://host/v1#m", "'ftp://host/v1' is not the URL of an API"),
        ("nonsense", "'nonsense' is not the URL of an API"),
        ("http://host:port/v1#m", "is not the URL of an API"),
        ("http://host/v1", "'http://host/v1' names no model behind the API"),
        ("http://user:secret@host/v1#m", "The URL of host contains a user, password or query"),
        ("http://host/v1?key=secret#m", "The URL of host contains a user, password or query"),
    ],
)
def test_an_address_that_is_none_is_refused_and_no_secret_is_repeated(text, part):
    with pytest.raises(ModelError) as raised:
        parse_address(text)
    assert part in str(raised.value)
    assert "secret" not in str(raised.value)


def test_addresses():
    address = parse_address("api:https://host/v1/#owner/Name:free")
    assert (address.url, address.model, address.label) == ("https://host/v1", "owner/Name:free", "Name-free")
    assert address.spec == "api:https://host/v1#owner/Name:free"
    assert parse_address("http://localhost:1/v1#m").is_local
    assert parse_address("http://127.0.0.2:1/v1#m").is_local
    assert not parse_address("http://10.0.0.1:1/v1#m").is_local


def test_a_key_that_is_sent_unencrypted_is_remarked(monkeypatch):
    monkeypatch.setenv("MEMATLAS_API_KEY", "sk-0123456789")
    said = []
    Endpoint("http://10.0.0.1:1/v1#m", say=said.append)
    Endpoint("http://127.0.0.1:1/v1#m", say=said.append)
    assert said == ["http://10.0.0.1:1/v1 is not encrypted, and the key of MEMATLAS_API_KEY is sent to it."]


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (None, "not JSON"),
        ([], "no JSON object"),
        ({}, "an empty answer"),
        ({"choices": []}, "an empty answer"),
        ({"choices": [{"text": ""}]}, "an empty answer"),
        ({"choices": [{"text": None, "finish_reason": "stop"}]}, "an empty answer"),
        ({"error": {"message": "no"}}, "an error instead of an answer: no"),
    ],
)
def test_answers_that_are_none(answer, part):
    assert part in incomplete(answer)


def test_answers_that_may_be_empty_and_refusals():
    assert incomplete({"choices": [{"text": "", "finish_reason": "stop"}]}) is None
    refusal = {"choices": [{"message": {"content": None, "refusal": "I cannot"}, "finish_reason": "stop"}]}
    assert incomplete(refusal) is None
    assert completion_of(refusal).refused
    filtered = {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}
    assert (completion_of(filtered).refused, completion_of(filtered).text) == (True, "")


def test_a_request_takes_at_most_a_token_a_byte():
    assert text_request("completions", "é" * 10, 7, 0.0, 0, 0).most == Usage(1, 21, 7)
    assert text_request("chat", "abc", 7, 0.0, 0, 0).most.tokens_in >= 3
