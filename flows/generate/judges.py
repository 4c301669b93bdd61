"""The annotators of a generation, found and identified."""

from datetime import date

from flows.annotators.judge import JudgeAnnotator
from flows.annotators.pair_ranker import PairRankerAnnotator
from flows.annotators.protocol import Annotator
from flows.annotators.reward import RewardModelAnnotator
from flows.annotators.rule import RuleAnnotator
from flows.recipe.cluster import ClusterConfig
from flows.recipe.generation import AnnotatorConfig, RewardAnnotator
from flows.recipe.judge import JudgeConfig
from flows.recipe.pair_ranker import PairRankerConfig
from flows.recipe.rule import RuleConfig


def find_annotator(
    label: str, config: AnnotatorConfig, *, ledger_root: str, today: date, cluster: ClusterConfig | None = None
) -> Annotator:
    """Find and identify an annotator; no weights are loaded, except that the starter's are trained once.

    Raises:
        ModelError: a model that is missing.
        ConfigError: a function or a server that is.
    """
    match config:
        case PairRankerConfig():
            return PairRankerAnnotator(config, label=label, ledger_root=ledger_root)
        case JudgeConfig():
            return JudgeAnnotator(config, label=label, ledger_root=ledger_root)
        case RuleConfig():
            return RuleAnnotator(config, label=label, ledger_root=ledger_root)
        case RewardAnnotator():
            return RewardModelAnnotator(config, label=label, ledger_root=ledger_root, today=today, cluster=cluster)
