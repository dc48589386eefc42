"""The strategies by name: how each is loaded, and when it is the one to pick."""

IMPORT_PATHS = {
    kind: f"modem.routing.strategies.{module}:load"
    for kind, module in {
        "majority": "majority",
        "tfidf-linear": "lexical",
        "knn": "knn",
        "ridge": "ridge",
        "described": "described",
        "ensemble": "ensemble",
    }.items()
}
"""What ``RouterConfig.import_path`` is for each."""

WHEN = {
    "majority": "Never in service: it is the line that any other has to be above.",
    "tfidf-linear": (
        "No encoder may be installed, or a decision may cost two milliseconds at most, and the prompts in "
        "service use the words of the prompts it was fitted to."
    ),
    "knn": (
        "Domains change often: a prompt that is added to the store counts at once. It also shows which known "
        "prompts a decision rests on."
    ),
    "ridge": (
        "Domains come and go and their prompts may not be kept: it is fitted in a second, and each domain is "
        "a sum that is added or subtracted."
    ),
    "linear": "As ridge, with probabilities that need no sharpness; a domain cannot be taken out again.",
    "compact": "The default: the best of what a CPU decides in milliseconds.",
    "encoder": "There is a GPU for the router and labelled prompts to train on.",
    "described": (
        "There are no labelled prompts, only descriptions, and an instruction-tuned model of some billion "
        "parameters is served anyway; a decision costs one of its prompts."
    ),
    "ensemble": "Its members are of one quality: weaker ones take more than they give, and each costs.",
}
"""When to pick which."""
