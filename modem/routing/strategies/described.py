"""Domains described in words, chosen by a small language model (Arch-Router's idea, arXiv 2506.16655).

The model is one that is served anyway: any endpoint of OpenAI's shape with log probabilities, such as
one of the experts behind the gateway, asked by its name so that nothing is routed on the way. A domain
is added by describing it; nothing is trained. A request costs a whole prompt of the model.
"""

import hashlib
import http.client
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modem.errors import ConfigError, ExpertFailedError, ExpertTimeoutError, ExpertUnavailableError
from modem.types import DomainScores, RouterIdentity

KIND = "described"

_TOP = 20
"""Most alternatives that engines tell the probabilities of."""

_PRIOR = 0.01
"""Probability that is spread over all domains, so that one the model did not name is not impossible."""

_SYSTEM = """\
You sort requests. These are the routes, one a line, each with what belongs to it:
{routes}

Reply with the name of the one route whose expert should answer the request, and nothing else."""

_USER = "Request:\n{text}\n\nName of the route:"


class DescribedRouter:
    """A `modem.routing.base.Router` that asks a language model.

    Args:
        url: Of the endpoint, up to ``/v1``.
        model: Its name there; behind a modem gateway a domain's, never ``auto``.
        domains: What belongs to each, in a sentence.
        deadline_s: Longest wait for all answers of one call of `score`.
        concurrency: Requests at once.
        api_key: Sent as a bearer token; None for none.

    Raises:
        ConfigError: A setting is wrong.
    """

    def __init__(
        self,
        url: str,
        model: str,
        domains: Mapping[str, str],
        deadline_s: float = 10.0,
        concurrency: int = 8,
        api_key: str | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"described: url must be http(s)://host:port/v1, not {url!r}")
        if len(domains) < 2:
            raise ConfigError("described: describe at least two domains")
        if model in ("auto", "modem"):
            raise ConfigError(f"described: model {model!r} would ask the router again; name an expert")
        self.domains = tuple(domains)
        self._url, self._model = f"{url.rstrip('/')}/chat/completions", model
        self._deadline_s, self._concurrency = deadline_s, concurrency
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._system = _SYSTEM.format(routes="\n".join(f"{name}: {text}" for name, text in domains.items()))
        digest = hashlib.sha256(f"{model}\n{self._system}".encode()).hexdigest()
        self.identity = RouterIdentity(KIND, f"{model}-{digest[:8]}")

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`.

        Raises:
            ExpertTimeoutError: The model did not answer within the deadline.
            ExpertUnavailableError: Nothing listens there.
            ExpertFailedError: It answered with an error, or not with probabilities.
        """
        deadline = time.monotonic() + self._deadline_s
        with ThreadPoolExecutor(self._concurrency) as threads:
            return list(threads.map(lambda text: self._score(text, deadline), texts))

    def _score(self, text: str, deadline: float) -> DomainScores:
        if not text.strip():
            return DomainScores(dict.fromkeys(self.domains, 1 / len(self.domains)))
        reply = self._ask(self._body(text), deadline)
        return DomainScores(_probabilities(_first_token(reply), self.domains))

    def _body(self, text: str) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [
                # A system message of our own also keeps the gateway from adding the expert's.
                {"role": "system", "content": self._system},
                {"role": "user", "content": _USER.replace("{text}", text)},
            ],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": _TOP,
            # vLLM's way to allow nothing but these; an engine that does not know it ignores it.
            "structured_outputs": {"choice": list(self.domains)},
        }

    def _ask(self, body: Mapping[str, Any], deadline: float) -> Any:
        """Post a request and return the parsed answer."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise ExpertTimeoutError(f"the routing model {self._model} did not answer in time")
        request = urllib.request.Request(self._url, json.dumps(body).encode(), self._headers)
        try:
            with urllib.request.urlopen(request, timeout=left) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ExpertFailedError(
                f"the routing model {self._model} answered with status {error.code}"
            ) from error
        except TimeoutError as error:
            raise ExpertTimeoutError(f"the routing model {self._model} did not answer in time") from error
        except urllib.error.URLError as error:
            # A connection that takes too long comes wrapped.
            kind = ExpertTimeoutError if isinstance(error.reason, TimeoutError) else ExpertUnavailableError
            raise kind(f"the routing model {self._model} is not reachable: {error.reason}") from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise ExpertFailedError(
                f"the routing model {self._model} broke off its answer: {error}"
            ) from error


def load(
    url: str, model: str, domains: Mapping[str, str], deadline_s: float = 10.0, concurrency: int = 8
) -> DescribedRouter:
    """Build one from configuration, for ``RouterConfig.import_path``.

    Raises:
        ConfigError: A setting is wrong.
    """
    return DescribedRouter(url, model, domains, deadline_s, concurrency)


def _first_token(reply: Any) -> dict[str, float]:
    """Return the log probabilities of the alternatives for the first token of an answer."""
    try:
        first = reply["choices"][0]["logprobs"]["content"][0]
        found = [(str(one["token"]), float(one["logprob"])) for one in [*first["top_logprobs"], first]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ExpertFailedError(
            "the routing model sent no log probabilities; its server must support logprobs and top_logprobs"
        ) from error
    return dict(found)


def _probabilities(tokens: Mapping[str, float], domains: Sequence[str]) -> dict[str, float]:
    """Return the probability of each domain from those of first tokens.

    A token speaks for the domains that begin with it, in equal parts: tokenizers cut names where they
    like. If it speaks for none, the model has no opinion, and all are equal.
    """
    votes = dict.fromkeys(domains, 0.0)
    for token, log_probability in tokens.items():
        said = token.strip().casefold()
        meant = [domain for domain in domains if said and (domain.startswith(said) or said == domain)]
        for domain in meant:
            votes[domain] += math.exp(min(log_probability, 0.0)) / len(meant)
    total = sum(votes.values())
    if total == 0:
        return dict.fromkeys(domains, 1 / len(domains))
    return {d: (1 - _PRIOR) * vote / total + _PRIOR / len(domains) for d, vote in votes.items()}
