"""The annotators of a generation, found and identified."""

from datetime import date

from flows.annotators.protocol import Annotator
from flows.annotators.reward import RewardModelAnnotator
from flows.recipe.generation import AnnotatorConfig


def find_annotator(label: str, config: AnnotatorConfig, *, ledger_root: str, today: date) -> Annotator:
    """Find and identify an annotator; no weights are loaded, except that the starter's are trained once.

    Raises:
        ModelError: a model that is missing.
        ConfigError: a function or a server that is.
    """
    return RewardModelAnnotator(config, label=label, ledger_root=ledger_root, today=today)
