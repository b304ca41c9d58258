"""How fast an API may be asked, and what may be spent on it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mematlas.errors import ModelError
from mematlas.models.endpoints.options import EndpointOptions


class BudgetReached(ModelError):
    """A cap on requests, tokens or costs was reached; all answers are kept."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was sent and received. tokens: as the server counts them, or an upper bound where it does not."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return self + Usage(-other.requests, -other.tokens_in, -other.tokens_out)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def cost(self, options: EndpointOptions) -> float | None:
        """In the currency of the prices; None without prices."""
        if options.price_input is None or options.price_output is None:
            return None
        return (self.tokens_in * options.price_input + self.tokens_out * options.price_output) / 1e6


class Budget:
    """Counts what is spent, and refuses a request that might exceed a cap. Threads may share it.

    Args:
        spent: in earlier runs; the caps are on all together.
    """

    def __init__(self, options: EndpointOptions, spent: Usage) -> None:
        self._options, self._spent, self._reserved = options, spent, Usage()
        self._lock = threading.Lock()

    @property
    def spent(self) -> Usage:
        return self._spent

    def reserve(self, most: Usage) -> None:
        """Set aside what a request can take at most.

        Raises:
            BudgetReached: a cap would be exceeded.
        """
        with self._lock:
            exceeded = self.exceeded(self._spent + self._reserved + most)
            if exceeded is not None:
                raise BudgetReached(f"{exceeded} is reached")
            self._reserved += most

    def settle(self, most: Usage, actual: Usage) -> None:
        """Count what a request took instead of what was set aside for it."""
        with self._lock:
            self._reserved -= most
            self._spent += actual

    def exceeded(self, total: Usage) -> str | None:
        """The cap that `total` exceeds, as an option with its value; None if it exceeds none."""
        options, cost = self._options, total.cost(self._options)
        if options.max_requests is not None and total.requests > options.max_requests:
            return f"--max-requests {options.max_requests}"
        if options.max_total_tokens is not None and total.tokens > options.max_total_tokens:
            return f"--max-total-tokens {options.max_total_tokens}"
        if options.max_cost is not None and cost is not None and cost > options.max_cost:
            return f"--max-cost {options.max_cost:g}"
        return None


def describe(usage: Usage, options: EndpointOptions) -> str:
    """12 requests, 340 tokens in, 96 out (0.0021 at the given prices)."""
    cost = usage.cost(options)
    price = "" if cost is None else f" ({cost:.4g} at the given prices)"
    return f"{usage.requests:,} requests, {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{price}"


class Pace:
    """Spaces requests evenly, so that no minute has more of them, or of their tokens, than the options allow.

    Args:
        now, wait: the clock, and a function that waits so many seconds or until the work is to stop.
    """

    def __init__(
        self, options: EndpointOptions, wait: Callable[[float], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._requests, self._tokens = options.requests_per_minute, options.tokens_per_minute
        self._wait, self._now, self._free = wait, now, 0.0
        self._lock = threading.Lock()

    def take_turn(self, tokens: int) -> None:
        """Wait until a request with so many tokens may be sent."""
        with self._lock:
            start = max(self._now(), self._free)
            seconds = max(
                60 / self._requests if self._requests else 0.0, 60 * tokens / self._tokens if self._tokens else 0.0
            )
            self._free = start + seconds
            delay = start - self._now()
        if delay > 0:
            self._wait(delay)

    def pause(self, seconds: float) -> None:
        """Let no request begin for so long, because the server asked for it."""
        with self._lock:
            self._free = max(self._free, self._now() + seconds)
