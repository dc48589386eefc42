"""A linear probe: the head as logistic regression on what an encoder gives before it learns."""

from collections.abc import Callable, Sequence

from modem.training.corpus import Corpus
from modem.training.data import Prompt
from modem.training.fit import Fit, Labelled, fit
from modem.training.loading import Loaded

Step = Callable[[int], None]
"""Called with the number of texts that were just done."""


def fit_probe(loaded: Loaded, corpus: Corpus, max_tokens: int, step: Step) -> Fit:
    """Fit the head of a compact network to its frozen encoder, and set it.

    The prompts are embedded as they stand. The penalty is chosen on the sets that choose settings.
    """
    training = _embed(loaded, corpus.training, max_tokens, step)
    choosing = [_embed(loaded, found, max_tokens, step) for found in corpus.measured_on().values()]
    fitted = fit(training, choosing, corpus.domains())
    loaded.network.set_head(fitted.weights, fitted.bias)
    return fitted


def _embed(loaded: Loaded, prompts: Sequence[Prompt], max_tokens: int, step: Step) -> Labelled:
    from modem.training.trainer import predict

    texts = [prompt.routed() for prompt in prompts]
    found = predict(loaded.network, loaded.tokenizer, texts, max_tokens, step)
    return Labelled(found["embedding"], tuple(prompt.domain for prompt in prompts))
