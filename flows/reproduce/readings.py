"""Readers by name: what stands in a catalogue's `reads`, and the series that it gives of finished steps."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from flows.reproduce import data_readers, evaluation_readers, training_readers
from flows.reproduce.config import Reading
from flows.reproduce.found import Found, Options, as_x, finite
from flows.runtime.config_files import problems_in_words
from transforms.errors import ConfigError, CurationError
from transforms.records.reproduction import Series


@dataclass(frozen=True)
class Reader:
    """Reads points from the folder of a finished step."""

    options: type[Options]
    read: Callable[[Path, Any], Found]


READERS: Final[dict[str, Reader]] = {
    # audit.json
    "consistency": Reader(data_readers.ConsistencyOptions, data_readers.consistency),
    "quality": Reader(data_readers.QualityOptions, data_readers.quality),
    "position": Reader(data_readers.PositionOptions, data_readers.position),
    # manifest.json of a curated run
    "rate": Reader(data_readers.RateOptions, data_readers.rate),
    "groups": Reader(data_readers.GroupsOptions, data_readers.groups),
    "proxy": Reader(data_readers.ProxyOptions, data_readers.proxy),
    # evaluation.json
    "kept": Reader(evaluation_readers.KeptOptions, evaluation_readers.kept),
    "accuracy": Reader(evaluation_readers.AccuracyOptions, evaluation_readers.accuracy),
    "distance": Reader(evaluation_readers.DistanceOptions, evaluation_readers.distance),
    "displacement": Reader(evaluation_readers.DisplacementOptions, evaluation_readers.displacement),
    "answers": Reader(evaluation_readers.AnswersOptions, evaluation_readers.answers),
    "lengths": Reader(evaluation_readers.LengthsOptions, evaluation_readers.lengths),
    "prefix_quality": Reader(evaluation_readers.PrefixOptions, evaluation_readers.prefix_quality),
    "answer_entropy": Reader(evaluation_readers.EntropyOptions, evaluation_readers.answer_entropy),
    "score_histogram": Reader(evaluation_readers.HistogramOptions, evaluation_readers.score_histogram),
    "tasks": Reader(evaluation_readers.TasksOptions, evaluation_readers.tasks),
    "rewardbench2": Reader(evaluation_readers.RewardBench2Options, evaluation_readers.rewardbench2),
    # comparison.json, decode.json, metrics.jsonl
    "win_rates": Reader(training_readers.WinRatesOptions, training_readers.win_rates),
    "pairs_ordered": Reader(training_readers.PairsOptions, training_readers.pairs_ordered),
    "decodings": Reader(training_readers.DecodingsOptions, training_readers.decodings),
    "decoding_kl": Reader(training_readers.NoOptions, training_readers.decoding_kl),
    "training": Reader(training_readers.TrainingOptions, training_readers.training),
}


def options_of(reading: Reading) -> Options:
    """The options of its reader, before there is anything to read: for a catalogue's check.

    Raises:
        ConfigError: there is no such reader, or an option does not fit; the message begins with the series' label.
    """
    with _named(reading):
        if reading.reads not in READERS:
            message = f"there is no reader {reading.reads!r}; there are {', '.join(READERS)}"
            raise ConfigError(message)
        try:
            return READERS[reading.reads].options.model_validate(reading.options)
        except ValidationError as error:
            said = problems_in_words(error, lambda place: ".".join(["options", *map(str, place)]))
            message = f"{reading.reads}: {said}"
            raise ConfigError(message) from error


def read(reading: Reading, folders: Mapping[str, Path]) -> Series:
    """The series, in its own unit or that of its axis: shares in percent.

    Args:
        reading: of a catalogue.
        folders: of finished steps, by name.

    Returns:
        What is there. Numbers that are not are never made up: `missing` says which, and why.

    Raises:
        ConfigError: an unknown reader, option, step or name, or a step of `steps` that gives several points.
        OutputError: a record that is missing or of another version.
    """
    options = options_of(reading)
    with _named(reading):
        reader = READERS[reading.reads].read
        if reading.step is not None:
            found = finite(reader(_folder(reading.step, folders), options))
            return Series(label=reading.label, points=found.points, missing=list(found.missing), unit=reading.own_unit)
        points, missing = [], []
        for x, step in reading.steps.items():
            found = finite(reader(_folder(step, folders), options))
            if len(found.points) > 1:
                message = (
                    f"{reading.reads} reads {len(found.points)} numbers from the step {step}, and one can stand at "
                    f"{x}; narrow it by its options"
                )
                raise ConfigError(message)
            points += [one.model_copy(update={"x": as_x(x)}) for one in found.points]
            missing += [f"{x}: {why}" for why in found.missing]
        return Series(label=reading.label, points=points, missing=missing, unit=reading.own_unit)


@contextmanager
def _named(reading: Reading) -> Iterator[None]:
    """Inside, errors say of which series they are."""
    try:
        yield
    except CurationError as error:
        message = f"series {reading.label!r}: {error}"
        raise type(error)(message) from error


def _folder(step: str, folders: Mapping[str, Path]) -> Path:
    if step not in folders:
        message = f"the step {step} has no folder; there are {', '.join(folders) or 'none'}"
        raise ConfigError(message)
    return folders[step]
