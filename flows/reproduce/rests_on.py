"""What the numbers of a series rest on, in short sentences: pairs, prompts, trainings, models."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from flows.reproduce import data_readers as data
from flows.reproduce import evaluation_readers as evaluations
from flows.reproduce import training_readers as trainings
from flows.reproduce.config import Reading
from flows.reproduce.found import Options, read_record
from flows.reproduce.readings import options_of
from transforms.records.audit import Audit
from transforms.records.comparison import Comparison
from transforms.records.decoding import Decodings
from transforms.records.evaluation import ALL, Evaluation, PolicyEvaluation, RewardEvaluation
from transforms.records.manifest import Manifest, ModelRecord
from transforms.text import count

TRAINING: Final = "training.json"


def rests_on(reading: Reading, folder: Path) -> list[str]:
    """Sentences without an end, from the records that the reading's numbers are from.

    Args:
        reading: of a catalogue.
        folder: of its step, or of one of its steps.

    Raises:
        ConfigError: an unknown reader or option.
        OutputError: a record that is missing or of another version.
    """
    options = options_of(reading)
    for names, tell in _TOLD:
        if reading.reads in names:
            return tell(folder, options)
    if isinstance(options, evaluations.JudgedOptions):
        return _on_pairs(folder, options.of)
    if isinstance(options, trainings.TrainingOptions):
        return _training(trainings.metrics_of(folder, options).with_name(TRAINING), options)
    return []


def model_name(model: ModelRecord) -> str:
    """A model on the Hub as it is; of a path its last two parts, which are the same on another machine."""
    parts = Path(model.name).parts
    return model.name if len(parts) <= 2 and not model.name.startswith(("/", ".")) else "/".join(parts[-2:]).lstrip("/")


def _audit(folder: Path, options: Options) -> list[str]:
    found = read_record(folder, data.AUDIT, Audit)
    over = f"{_of(found.audited, 'pair')} of {_of(found.prompts, 'prompt')} audited"
    each = f", {_of(found.settings.n, 'completion')} a prefix"
    if isinstance(options, data.PositionOptions):
        return [f"{count(found.position_pairs)} of the {over}", f"policy {model_name(found.policy)}"]
    models = f"policy {model_name(found.policy)}, reward model {model_name(found.reward)}"
    if isinstance(options, data.QualityOptions) and options.by == "values":
        return [f"{count(found.value_pairs)} of the {over}", f"reward model {model_name(found.reward)}"]
    if isinstance(options, data.QualityOptions) and options.by == "tokens":
        return [f"{count(found.curve_pairs)} of the {over}{each}", models]
    return [f"{over}{each}", models]


def _run(folder: Path, _: Options) -> list[str]:
    found = read_record(folder, data.MANIFEST, Manifest)
    rates = [one for one in found.consistency if one.source == ALL]
    said = [f"{_of(rates[0].pairs, 'pair')}, {count(rates[0].sampled)} of them sampled"] if rates else []
    models = [("policy", found.policy), ("reward model", found.reward)]
    named = [f"{what} {model_name(one)}" for what, one in models if one is not None]
    return said + ([", ".join(named)] if named else [])


def _on_pairs(folder: Path, of: str) -> list[str]:
    found = read_record(folder, evaluations.EVALUATION, Evaluation)
    judge = found.policy if of == "policy" else found.reward
    return [] if judge is None else [*_pairs(judge), _judge(judge)]


def _moved(folder: Path, options: Options) -> list[str]:
    found = read_record(folder, evaluations.EVALUATION, Evaluation).policy
    if found is None:
        return []
    if isinstance(options, evaluations.DistanceOptions) and found.distance is not None:
        return [_of(found.distance.pairs, "pair"), _judge(found)]
    return [*_pairs(found), _judge(found)]


def _answers(folder: Path, options: Options) -> list[str]:
    found = read_record(folder, evaluations.EVALUATION, Evaluation).answers
    if found is None:
        return []
    said = [f"{_of(found.prompts, 'prompt')}, {_of(found.samples, 'answer')} of a model to each"]
    said.append(f"models {', '.join(f'{one.label} ({model_name(one.model)})' for one in found.models)}")
    if not isinstance(options, evaluations.LengthsOptions | evaluations.EntropyOptions):
        said.append(f"judge {model_name(found.judge)}, baseline {found.baseline}")
    if isinstance(options, evaluations.PrefixOptions) and found.prefixes is not None:
        each = _of(found.prefixes.completions_each, "completion")
        said.append(f"{each} of a beginning, by {model_name(found.prefixes.completer)}")
    return said


def _tasks(folder: Path, _: Options) -> list[str]:
    found = read_record(folder, evaluations.EVALUATION, Evaluation).tasks
    if found is None:
        return []
    trial = [] if found.limit is None else [f"a trial: {found.limit:g} documents a task, or that share of them"]
    return [f"policy {model_name(found.model)}, lm_eval {found.lm_eval}", *trial]


def _rewardbench2(folder: Path, _: Options) -> list[str]:
    found = read_record(folder, evaluations.EVALUATION, Evaluation).rewardbench2
    return [f"{_of(one.counts.judged, 'row')}, reward model {model_name(one.model)}" for one in found]


def _comparison(folder: Path, options: Options) -> list[str]:
    found = read_record(folder, trainings.COMPARISON, Comparison)
    of_pairs = isinstance(options, trainings.PairsOptions)
    rows = found.standings if of_pairs or found.answers is None else found.answers.standings
    numbers = sorted({row.trainings for row in rows})
    each = [] if not numbers else [f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} trainings each"]
    if numbers == [1]:
        each = ["1 training each"]
    if of_pairs:
        over = f"{_of(found.test.pairs, 'held-out pair')} of {_of(found.test.prompts, 'prompt')}"
        return [", ".join([*each, over]), f"trained from {model_name(found.model)}"]
    if found.answers is None:
        return []
    over = f"{_of(found.answers.compared, 'prompt')}, {_of(found.answers.samples, 'answer')} of a model to each"
    return [
        ", ".join([*each, over]),
        f"trained from {model_name(found.model)}, judge {model_name(found.answers.judge)}",
    ]


def _decodings(folder: Path, _: Options) -> list[str]:
    found = read_record(folder, trainings.DECODINGS, Decodings)
    return [
        _of(found.prompts, "prompt"),
        f"policy {model_name(found.policy)}, reference {model_name(found.reference)}, "
        f"reward model {model_name(found.reward)}",
    ]


def _training(path: Path, options: trainings.TrainingOptions) -> list[str]:
    from flows.train.output import read_record as read_training  # with all that a training's recipe is made of

    found = read_training(path.parent)
    if found is None:
        return []
    seen = f"{_of(found.data.examples, 'example')}, {_of(found.trained.steps, 'step')}"
    measured = (
        f", measured on {_of(found.data.test_examples, 'test example')}"
        if options.on == "test" and found.data.test_examples
        else ""
    )
    return [seen + measured, f"trained from {model_name(found.model)}"]


def _pairs(judge: PolicyEvaluation | RewardEvaluation) -> list[str]:
    overall = [one for one in judge.accuracy if one.source == ALL]
    return [f"{_of(one.pairs, 'pair')} of {_of(one.prompts, 'prompt')}" for one in overall]


def _judge(judge: PolicyEvaluation | RewardEvaluation) -> str:
    if isinstance(judge, RewardEvaluation):
        return f"reward model {model_name(judge.model)}"
    against = "" if judge.reference is None else f", reference {model_name(judge.reference)}"
    return f"policy {model_name(judge.model)}{against}"


def _of(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


_TOLD: Final[list[tuple[tuple[str, ...], Callable[[Path, Options], list[str]]]]] = [
    (("consistency", "quality", "position"), _audit),
    (("rate", "groups", "proxy"), _run),
    (("distance", "displacement"), _moved),
    (("answers", "lengths", "prefix_quality", "answer_entropy", "score_histogram"), _answers),
    (("tasks",), _tasks),
    (("rewardbench2",), _rewardbench2),
    (("win_rates", "pairs_ordered"), _comparison),
    (("decodings", "decoding_kl"), _decodings),
]
