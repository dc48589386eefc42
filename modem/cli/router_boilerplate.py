"""``modem router boilerplate``: learn which sentences only say how to answer."""

from pathlib import Path
from typing import Annotated

import typer

from modem.cli.router import fail
from modem.errors import ConfigError
from modem.routing.boilerplate import LEXICON


def boilerplate(
    config: Annotated[Path, typer.Option(help="Recipe that names the templates and the sources.")] = Path(
        "training/compact.yaml"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with JSONL files of prompt, domain and source; from the hub by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write; the package's own by default.")] = LEXICON,
) -> None:
    """Fit the lexicon by which boilerplate is told from content, to a recipe's templates and prompts.

    Every router reads texts that it has gone through: train and measure them anew afterwards.

    Exit status: 0 done, 2 the recipe or the data is wrong.
    """
    from modem.training.boilerplate import content_sentences, fit, prose, write_lexicon
    from modem.training.corpus import gather
    from modem.training.recipe import read_recipe

    try:
        recipe = read_recipe(config)
        corpus = gather(recipe, config.parent, data)
        content = [one for prompt in corpus.training for one in content_sentences(prompt.text)]
        fitted = fit(prose(corpus.templates), content)
    except ConfigError as error:
        fail(error)
    write_lexicon(fitted.lexicon, out)
    typer.echo(
        f"of sentences that were kept back it finds {fitted.found:.1%} of the boilerplate and takes "
        f"{fitted.false:.1%} of the content for it; wrote {out}"
    )
