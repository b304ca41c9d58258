"""A server of this machine that speaks as APIs do, over a tiny network: honest, silent or wrong, and with faults.

Variants: full (as vLLM: ids in and out, log-probabilities of the prompt); echo (the latter, but no ids out); plain
(refuses unknown fields); ids (ids in and out only); silent (accepts everything, ignores echo and logprobs); constant,
shifted, late, generated (log-probabilities that are not those of the prompt); text (refuses ids, as transformers serve
does). Without a network, texts are answered only.
"""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "cut", "empty", "malformed", "slow", "error", "short")


class Served:
    """A network and how it is served. faults: number of a request (from 0) -> what goes wrong with it.

    log: of each request its path, body and outcome ("answer", a fault, or a status).
    """

    def __init__(
        self,
        network=None,
        variant="full",
        faults=(),
        key=None,
        echo_key=False,
        flips=False,
        eos=None,
        always_ends=False,
    ):
        self.network, self.variant, self.faults, self.key = network, variant, dict(faults), key
        self.echo_key, self.flips, self.eos, self.always_ends = echo_key, flips, eos, always_ends
        self.log, self.lock, self.url, self.over = [], threading.Lock(), "", threading.Event()
        self.stop_after = None  # from this request on, everything is refused

    def answers(self):
        """How often each request was answered, by its body."""
        return Counter(json.dumps(body, sort_keys=True) for _, body, outcome in self.log if outcome == "answer")

    def logs(self, ids):
        """Log-probabilities [len(ids), vocabulary] of the token after each."""
        import torch  # texts are served without it

        with self.lock, torch.inference_mode():
            return torch.log_softmax(self.network(torch.tensor([ids])).logits[0].double(), -1)

    def greedy(self, ids, length, ends):
        ids, generated, rows = list(ids), [], []
        for _ in range(length):
            row = self.logs(ids)[-1]
            token = int(row.argmax())
            ids.append(token)
            generated.append(token)
            rows.append(row)
            if ends and token == self.eos:
                break
        return generated, rows


def _name(token, as_ids):
    return f"token_id:{token}" if as_ids else f"<{token}>"


def _entries(rows, tokens, top, as_ids):
    """Two lists as in OpenAI's `logprobs`: of each token its log-probability, and of the most probable ones theirs."""
    logs, alternatives = [], []
    for row, token in zip(rows, tokens, strict=True):
        values, names = row.topk(max(1, top))
        named = {_name(int(name), as_ids): float(value) for value, name in zip(values, names, strict=True)}
        logs.append(float(row[token]))
        alternatives.append(named | {_name(token, as_ids): float(row[token])})
    return logs, alternatives


def _completion(served, body):
    """The answer of /completions, as (status, object)."""
    prompt, variant = body.get("prompt"), served.variant
    if variant == "text" and not isinstance(prompt, str):
        return 400, {"detail": "prompt must be a string."}
    if variant == "plain" and {"return_token_ids", "return_tokens_as_token_ids", "ignore_eos"} & set(body):
        return 400, {"error": {"message": "unknown field return_token_ids"}}
    length = int(body.get("max_tokens") or 0)
    if isinstance(prompt, str):
        return 200, _text_answer(served, prompt, body)
    ids, as_ids, top = prompt, bool(body.get("return_tokens_as_token_ids")), body.get("logprobs") or 0
    echo = bool(body.get("echo")) and variant not in ("silent", "ids")
    if echo and length == 0 and variant == "plain":
        return 400, {"error": {"message": "max_tokens must be at least 1"}}
    ends = served.eos is not None and (served.always_ends or not body.get("ignore_eos"))
    generated, rows = served.greedy(ids, length or (0 if echo else 1), ends)
    choice = {"index": 0, "text": " ".join(map(str, generated)) or "-", "finish_reason": "length", "logprobs": None}
    if len(generated) < length:
        choice["finish_reason"] = "stop"
    if variant in ("full", "ids") and body.get("return_token_ids"):
        choice["token_ids"] = generated
    if top and variant not in ("silent", "ids"):
        choice["logprobs"] = _log_probabilities(served, ids, generated, rows, echo, top, as_ids)
    return 200, _whole(body, choice, len(ids), len(generated))


def _log_probabilities(served, ids, generated, rows, echo, top, as_ids):
    tokens = [*ids, *generated] if echo and served.variant != "generated" else generated
    if tokens is not generated:
        before = served.logs(ids)
        rows = [*before[:-1], *rows]
        logs, alternatives = _entries(rows, tokens[1:], top, as_ids)
        if served.variant == "constant":
            logs, alternatives = [-1.5] * len(logs), [{"<0>": -1.5, "<1>": -2.0}] * len(logs)
        if served.variant == "shifted":  # each entry stands one token too early
            logs, alternatives = [*logs[1:], logs[-1]], [*alternatives[1:], alternatives[-1]]
        if served.variant == "late":
            logs, alternatives = [logs[0], *logs[:-1]], [alternatives[0], *alternatives[:-1]]
        logs, alternatives = [None, *logs], [None, *alternatives]
    else:
        logs, alternatives = _entries(rows, tokens, top, as_ids)
    names = [_name(token, as_ids and served.variant != "echo") for token in tokens]
    if served.variant == "echo":
        alternatives = [
            one and {name.replace("token_id:", "t"): value for name, value in one.items()} for one in alternatives
        ]
    return {"tokens": names, "token_logprobs": logs, "top_logprobs": alternatives}


def _text_answer(served, prompt, body):
    number = sum(prompt.encode()) + (len(served.log) if served.flips else int(body.get("seed") or 0))
    choice = {"index": 0, "text": f" answer {number}", "finish_reason": "length", "logprobs": None}
    return _whole(body, choice, len(prompt.split()), 2)


def _whole(body, choice, tokens_in, tokens_out):
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {"object": "text_completion", "model": body.get("model"), "choices": [choice], "usage": usage}


def _chat(served, body):
    answer = _text_answer(served, body["messages"][0]["content"], body)
    text = answer["choices"][0].pop("text")
    answer["choices"][0]["message"] = {"role": "assistant", "content": text}
    return 200, answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._send(200, {"object": "list", "data": [{"id": "tiny", "max_model_len": 128}]})

    def do_POST(self):
        served = self.server.served
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with served.lock:
            number = len(served.log)
            entry = [self.path, body, "begun"]
            served.log.append(entry)
        entry[2] = self._answer(served, number, body)

    def _answer(self, served, number, body):
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if served.key is not None and key != served.key:
            self._send(401, {"error": {"message": f"Incorrect API key provided: {key}"}})
            return "401"
        if body["model"] != "tiny":
            self._send(404, {"error": {"message": "no such model"}})
            return "404"
        if served.stop_after is not None and number >= served.stop_after:
            self._send(500, {"error": {"message": "stopped"}})
            return "500"
        fault = served.faults.get(number)
        if fault is not None:
            self._fail(fault)
            return fault
        status, answer = (_chat if self.path.endswith("/chat/completions") else _completion)(served, body)
        if served.echo_key:
            answer["you_sent"] = key
        self._send(status, answer)
        return "answer" if status == 200 else str(status)

    def _fail(self, fault):
        if fault == "429":
            self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.05"})
        elif fault == "500":
            self._send(500, {"error": {"message": "out of memory"}})
        elif fault == "empty":
            self._send(200, {"object": "text_completion", "choices": []})
        elif fault == "error":
            self._send(200, {"error": {"message": "provider failed"}})
        elif fault == "short":
            self._send(200, {"choices": [{"text": "", "finish_reason": None}]})
        elif fault == "malformed":
            self._write(200, b'{"choices": [{"te')
        elif fault == "slow":
            self.server.served.over.wait(60)
            self.close_connection = True
        else:  # cut: more is announced than sent
            self._write(200, b'{"choices": [{"text": "half', length=4000)
            self.close_connection = True

    def _send(self, status, answer, headers=()):
        self._write(status, json.dumps(answer).encode(), headers)

    def _write(self, status, content, headers=(), length=None):
        try:
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client has left
            self.close_connection = True


@contextmanager
def serve(*args, **options):
    """A running server; `served.url` is its address without a model."""
    served = Served(*args, **options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.served = True, served
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        server.server_close()
