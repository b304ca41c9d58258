"""A model behind an API: many requests at a time, repeated after faults, within a budget, each answer kept."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

from mematlas.errors import ModelError, did_you_mean
from mematlas.models.endpoints.address import EndpointAddress, parse_address
from mematlas.models.endpoints.answers import AnswerStore
from mematlas.models.endpoints.limits import Budget, BudgetReached, Pace, Usage, describe
from mematlas.models.endpoints.options import EndpointOptions, api_key, check_endpoint_options
from mematlas.models.endpoints.requests import (
    Completion,
    Request,
    completion_of,
    error_text,
    incomplete,
    text_request,
    usage_of,
)
from mematlas.models.endpoints.transport import NoReply, Reply, Transport

#: Seconds before the first repetition; doubled for each further one, up to LONGEST_WAIT. Our choice.
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 60.0
#: A server that asks to wait longer than this ends the run instead (seconds). Our choice.
LONGEST_PAUSE: Final = 300.0
_SHORTEST_SECRET: Final = 8  # characters; our choice: keys of APIs have 20 and more
#: Statuses of HTTP that another try may change: timeouts, too many requests, faults of the server.
_PASSING: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))


class EndpointFault(ModelError):
    """An API refused a request, or gave no answer however often it was asked. status: of HTTP, None without a reply."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Stopped(Exception):
    """Another request has failed, so that this one is not sent any more."""


class Endpoint:
    """A model behind an API; its methods send requests in threads, and are called one at a time.

    Args:
        address: an address, or its text: "http://127.0.0.1:8000/v1#my-model", with or without "api:" before it.
        folder: where answers are kept and looked for; without one, they are kept in memory only.
        say: shows a message of one line.
        first_wait: seconds before the first repetition of a request.

    Raises:
        ModelError: the address is none.
        OptionError: a cap on costs without prices, or a named key variable that is not set.
    """

    def __init__(
        self,
        address: EndpointAddress | str,
        options: EndpointOptions | None = None,
        folder: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self.options, self.folder, self._first_wait = options or EndpointOptions(), folder, first_wait
        check_endpoint_options(self.options)
        self._key = api_key(self.options)
        self._transport = Transport(self._key, self.options.timeout, proxies=not self.address.is_local)
        self._store = AnswerStore(folder, self._redact)
        self._budget = Budget(self.options, self._store.spent)
        self._stop = threading.Event()
        self._pace = Pace(self.options, self._stop.wait)
        self._jitter = random.Random()  # spreads repetitions in time; no answer depends on it
        self._has_replied = False
        if self._key is not None and not self.address.is_encrypted and not self.address.is_local:
            say(f"{self.address.url} is not encrypted, and the key of {self.options.key_variable} is sent to it.")

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        n: int = 1,
        on_answer: Callable[[int], None] = lambda count: None,
    ) -> list[list[Completion]]:
        """What the model writes after each prompt: for `--endpoint chat` its reply to the prompt as a user's message.

        Equal calls get equal answers: those in the folder are not asked for again. Equal prompts are asked once.

        Args:
            max_tokens: most tokens of an answer; temperature: 0 is greedy decoding.
            seed: sent with the first answer to a prompt, seed + 1 with the second ...; a server may ignore it.
            n: answers to each prompt, each of them a request of its own.
            on_answer: called with the number of answers that came, including kept ones.

        Returns:
            For each prompt its n answers, both in order.

        Raises:
            BudgetReached: a cap was reached; answers so far are kept.
            EndpointFault: the server refused a request, or gave no answer; answers so far are kept.
        """
        requests = [
            text_request(self.options.endpoint, prompt, max_tokens, temperature, seed, sample)
            for prompt in prompts
            for sample in range(n)
        ]
        answers = [completion_of(answer) for answer in self.ask(requests, on_answer)]
        return [answers[start : start + n] for start in range(0, len(answers), n)]

    def ask(
        self, requests: Sequence[Request], on_answer: Callable[[int], None] = lambda count: None
    ) -> list[dict[str, Any]]:
        """The server's JSON for each request, in order; as `complete`."""
        keys = [request.key(self.address.url, self.address.model) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._store}
        on_answer(sum(key not in missing for key in keys))
        copies = Counter(keys)
        self._ask_missing(missing, lambda key: on_answer(copies[key]))
        return [self._answer(key) for key in keys]

    def ask_anew(self, request: Request) -> dict[str, Any]:
        """The server's JSON for one request, even if the answer is known; it is kept as well."""
        self._stop.clear()
        try:
            return self._until_answered(request.key(self.address.url, self.address.model), request)
        except BudgetReached as error:
            raise self._with_remedy(error) from None

    def announcement(self, requests: int, most: Usage) -> str:
        """What so many requests will take at most, in one sentence, before the first of them is sent.

        Args:
            most: tokens of all requests together.
        """
        kept = f", of which {len(self._store):,} answers are kept already" if len(self._store) else ""
        cost = most.cost(self.options)
        price = "" if cost is None else f", {cost:.4g} at the given prices"
        caps = [
            f"{value:g} {name}"
            for name, value in (
                ("requests", self.options.max_requests),
                ("tokens", self.options.max_total_tokens),
                ("for costs", self.options.max_cost),
            )
            if value is not None
        ]
        return (
            f"{self.address.label}: at most {requests:,} requests{kept}; at most {most.tokens_in:,} tokens in, "
            f"{most.tokens_out:,} out{price}; {'capped at ' + ', '.join(caps) if caps else 'no cap'}."
        )

    @property
    def spent(self) -> Usage:
        """What was sent and received so far, in earlier runs too."""
        return self._budget.spent

    def models(self) -> list[dict[str, Any]]:
        """What the server says of its models; [] if it does not say."""
        try:
            listed = self._transport.get(f"{self.address.url}/models").json()
        except NoReply:
            return []
        entries = listed.get("data") if isinstance(listed, dict) else None
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def close(self) -> None:
        """Close the file of answers."""
        self._store.close()

    def _answer(self, key: str) -> dict[str, Any]:
        record = self._store.get(key)
        assert record is not None  # else an error was raised
        answer: dict[str, Any] = record["answer"]
        return answer

    def _ask_missing(self, missing: dict[str, Request], on_answer: Callable[[str], None]) -> None:
        """Send requests in threads; after the first failure none is begun, and those under way are kept."""
        self._stop.clear()
        remaining = iter(missing.items())
        lock = threading.Lock()

        def work() -> None:
            while not self._stop.is_set():
                with lock:
                    key, request = next(remaining, (None, None))
                if key is None or request is None:
                    return
                self._until_answered(key, request)
                with lock:
                    on_answer(key)

        with ThreadPoolExecutor(min(self.options.concurrency, max(1, len(missing)))) as pool:
            futures = [pool.submit(work) for _ in range(min(self.options.concurrency, len(missing)))]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:  # of all, of one that failed, or of an interruption by the user
                self._stop.set()
        failures = [failure for future in futures if (failure := future.exception()) is not None]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, _Stopped)):
            raise self._with_remedy(failure)

    def _with_remedy(self, failure: BaseException) -> BaseException:
        """The failure with what to do about it."""
        where = "" if self.folder is None else f" in {self.folder}"
        kept = f"{len(self._store):,} answers are kept{where}"
        if isinstance(failure, BudgetReached):
            spent = describe(self.spent, self.options)
            return BudgetReached(
                f"{failure}: {spent} so far, and the next may exceed it. {kept}: raise the cap, and run the same "
                "command again."
            )
        if isinstance(failure, EndpointFault):
            return EndpointFault(f"{failure} {kept}: run the same command again to go on.", failure.status)
        return failure

    def _until_answered(self, key: str, request: Request) -> dict[str, Any]:
        """Send a request until it is answered, and keep the answer.

        Raises:
            BudgetReached, EndpointFault: see `complete`.
            _Stopped: another request failed meanwhile.
        """
        most = request.most
        for attempt in range(self.options.retries + 1):
            self._pace.take_turn(most.tokens)
            if self._stop.is_set():
                raise _Stopped
            self._budget.reserve(most)
            fault, reply = self._try(key, request, most)
            if fault is None:
                assert reply is not None
                return dict(reply.json())
            self._raise_if_lasting(fault, reply)
            if attempt < self.options.retries:
                self._wait_before_repeating(attempt, reply)
        times = f"{self.options.retries + 1} times in a row" if self.options.retries else "to the only try"
        raise EndpointFault(f"{self.address.url} gave {fault}, {times}.", None if reply is None else reply.status)

    def _try(self, key: str, request: Request, most: Usage) -> tuple[str | None, Reply | None]:
        """Send a request once. Returns: what was wrong, None if nothing; and the reply."""
        started, reply = time.monotonic(), None
        actual = Usage(1)
        record: dict[str, Any]
        try:
            reply = self._transport.post(self.address.url + request.path, {"model": self.address.model, **request.body})
            self._has_replied = True
            answer = reply.json()
            if reply.status == 200:
                fault = incomplete(answer) or (None if request.check is None else request.check(answer))
                actual = usage_of(answer, most) if isinstance(answer, dict) and not answer.get("error") else Usage(1)
            else:
                fault = f"status {reply.status}{_stated(error_text(answer))}"
            record = {"answer": answer} if fault is None else {"fault": fault, "reply": reply.text[:2000]}
        except NoReply as error:
            fault = str(error)
            record = {"fault": fault}
            if error.refused and not self._has_replied:
                self._budget.settle(most, Usage())
                raise EndpointFault(
                    f"Nothing listens at {self.address.url} ({error}); start the server, or check the URL."
                ) from None
        except BaseException:
            self._budget.settle(most, actual)
            raise
        fault = None if fault is None else self._redact(fault)
        self._store.add(
            key,
            {"path": request.path, "request": request.body, "seconds": time.monotonic() - started, **record},
            actual,
        )
        self._budget.settle(most, actual)
        return fault, reply

    def _raise_if_lasting(self, fault: str, reply: Reply | None) -> None:
        """Raise what no repetition can mend."""
        if reply is None or reply.status == 200 or reply.status in _PASSING:
            return
        status, stated = reply.status, _stated(self._redact(error_text(reply.json())))
        url, model = self.address.url, self.address.model
        if status in (401, 403):
            variable = self.options.key_variable
            state = "the key that it has was refused" if self._key else "it is not set"
            raise EndpointFault(
                f"{url} asks for a key (status {status}{stated}): {variable} should have it, and {state}.", status
            )
        if status == 404:
            known = [str(entry.get("id")) for entry in self.models()]
            others = f" Its models: {', '.join(known[:5])}." if known and model not in known else ""
            raise EndpointFault(
                f"{url} has no {'model ' + repr(model) if others else 'such interface, or no model ' + repr(model)} "
                f"(status 404{stated}).{did_you_mean(model, known)}{others} Check URL, model and --endpoint.",
                status,
            )
        if 300 <= status < 400:
            raise EndpointFault(f"{url} redirects elsewhere (status {status}); give the URL that it leads to.", status)
        raise EndpointFault(f"{url} refuses the request (status {status}{stated}).", status)

    def _wait_before_repeating(self, attempt: int, reply: Reply | None) -> None:
        """Wait longer each time, or as long as the server asks for; then nobody asks it meanwhile."""
        seconds = min(self._first_wait * 2**attempt, LONGEST_WAIT) * self._jitter.uniform(0.5, 1.0)
        if reply is None or reply.retry_after is None:
            self._stop.wait(seconds)
        elif reply.retry_after <= LONGEST_PAUSE:
            self._pace.pause(reply.retry_after)
        else:
            raise EndpointFault(
                f"{self.address.url} asks to wait {reply.retry_after:,.0f} s (status {reply.status}), longer than "
                f"{LONGEST_PAUSE:.0f} s.",
                reply.status,
            )

    def _redact(self, text: str) -> str:
        """The text without the key; a stand-in for one, such as EMPTY, is a word like others."""
        if self._key is None or len(self._key) < _SHORTEST_SECRET:
            return text
        return text.replace(self._key, "<key>").replace(json.dumps(self._key)[1:-1], "<key>")


def _stated(text: str) -> str:
    return f": {text}" if text else ""
