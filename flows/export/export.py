"""The files of an export: each layout of each split, and a line for each row that is in none."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from flows.export.contents import TRAIN, Generated, Kept, Scale, contents_of
from flows.versions.version import GeneratedVersion, Version
from transforms.errors import ConfigError
from transforms.exports.json_lines import LineWriter
from transforms.exports.kto import Response, ScoreTable, Verdict, judged
from transforms.exports.layouts import KTO, LAYOUTS, PAIR_LAYOUTS
from transforms.exports.pairs import Answer, Score, why_not
from transforms.exports.thresholds import Threshold, find_threshold, weights
from transforms.records.export import ExportedFile, ExportRecord, ThresholdRecord
from transforms.report.pictures import draw_scores
from transforms.tables.schema import SIDES

LEFT_OUT_FILE: Final = "left-out.jsonl"
FIGURE: Final = "scores.png"


class Choices(NamedTuple):
    """What is asked for.

    Attributes:
        layouts: of LAYOUTS.
        score: which one labels kto's responses; None for the reward model's where half of them have it, else the one
            that more have. A generation has no choice of it.
        threshold: `otsu`, `median` or a score.
        margin: responses less than this away from it are left out.
    """

    layouts: tuple[str, ...]
    score: Score | None = None
    threshold: str | float = "otsu"
    margin: float = 0.0


def write_files(version: Version | GeneratedVersion, choices: Choices, folder: Path) -> ExportRecord:
    """Write `<layout>/<split>.jsonl` of each layout and split with rows, and left-out.jsonl.

    Args:
        version: whose kept pairs are exported; of a generation its pairs, and as kto all its responses.
        choices: what is asked for.
        folder: empty.

    Raises:
        ConfigError: nothing to export, or not the score that kto needs; a threshold that parts none.
        SourceError: as `Shards.all_batches`.
    """
    kept = contents_of(version, choices.layouts)
    scale = _Scale.of(kept, choices) if KTO in choices.layouts else None
    files, threshold = [], None
    with LineWriter(folder / LEFT_OUT_FILE, structured=False) as left_out:
        for split in kept.splits:
            files += _write_pairs(kept, split, choices.layouts, folder, left_out)
        if scale is not None:
            tallies = {split: _write_responses(kept, split, scale, folder, left_out) for split in kept.splits}
            files += [tally.file() for tally in tallies.values()]
            threshold = _record(scale, tallies[scale.split])
            (folder / FIGURE).write_bytes(_figure(scale))
    files.sort(key=lambda file: LAYOUTS.index(file.layout))
    manifest = version.manifest
    return ExportRecord(
        where=version.where,
        commit=version.commit,
        name=manifest.name,
        version=manifest.version,
        files=files,
        threshold=threshold,
        generation=kept.part,
        appended=kept.appended,
    )


@dataclass
class _Tally:
    """What became of the rows of one file."""

    layout: str
    split: str
    writer: LineWriter
    left_out_lines: LineWriter
    left_out: Counter[str] = field(default_factory=Counter)
    labels: Counter[bool] = field(default_factory=Counter)
    responses: int = 0
    without_end: int = 0
    unfinished: int = 0

    def write(
        self, row: dict[str, Any], answers: tuple[Answer, ...], named: Mapping[str, Any], side: str | None = None
    ) -> None:
        try:
            self.writer.write(row)
        except ValueError:
            self.leave_out(named, "not_json", side)
            return
        self.responses += len(answers)
        self.without_end += sum(answer.cut for answer in answers)
        self.unfinished += sum(not answer.finished for answer in answers)
        if "label" in row:
            self.labels[row["label"]] += 1

    def leave_out(self, named: Mapping[str, Any], reason: str, side: str | None = None) -> None:
        self.left_out[reason] += 1
        row = {"layout": self.layout, "split": self.split, **named, "side": side, "reason": reason}
        self.left_out_lines.write(row)

    def file(self) -> ExportedFile:
        rows = self.writer.rows
        return ExportedFile(
            layout=self.layout,
            split=self.split,
            path=f"{self.layout}/{self.split}.jsonl" if rows else None,
            rows_in=rows + self.left_out.total(),
            rows=rows,
            left_out=dict(sorted(self.left_out.items())),
            responses=self.responses,
            without_end=self.without_end,
            unfinished=self.unfinished,
        )


class _Scale(NamedTuple):
    """What labels responses: one score, and the threshold that one split's responses gave."""

    score: Scale
    split: str
    table: ScoreTable
    threshold: Threshold
    margin: float

    @classmethod
    def of(cls, kept: Kept | Generated, choices: Choices) -> "_Scale":
        # The test split has no say in its own labels.
        split = TRAIN if TRAIN in kept.splits else kept.splits[0]
        score = kept.scale(choices.score, split)
        table = ScoreTable(kept.responses(split, score))
        scores = table.scores
        if not len(scores):
            message = f"{kept.version.where} has no {_in_words(score)} in its split {split!r}; {_ADVICE[score]}"
            raise ConfigError(message)
        if score == "source" and len(table.sources) > 1 and isinstance(choices.threshold, str):
            shown = ", ".join(sorted(table.sources)[:5])
            message = (
                f"{kept.version.where} has scores of {len(table.sources)} sources ({shown}), each on a scale of its "
                "own, so no one threshold is found for them; take --score reward, or give a number as --threshold"
            )
            raise ConfigError(message)
        return cls(score, split, table, find_threshold(scores, choices.threshold), choices.margin)


_ADVICE: Final[dict[Scale, str]] = {
    "reward": "take --score source, or curate with a reward model (consistency or a filter by reward)",
    "source": "take --score reward, or a source that scores its responses",
    "aggregate": "its quarantine.jsonl says why. Generate again with an annotator that can read them, or leave kto out",
}


def _in_words(score: Scale) -> str:
    return {
        "reward": "rewards of a reward model",
        "source": "scores of a source",
        "aggregate": "usable response with a score",
    }[score]


def _write_pairs(
    kept: Kept | Generated, split: str, layouts: tuple[str, ...], folder: Path, left_out: LineWriter
) -> list[ExportedFile]:
    structured = kept.is_structured
    with ExitStack() as open_files:
        tallies = []
        for name in layouts:
            if name in PAIR_LAYOUTS:
                writer = open_files.enter_context(_writer(folder, name, split, structured=structured))
                tallies.append(_Tally(name, split, writer, left_out))
        for pair in kept.pairs(split) if tallies else ():
            answers = (pair.chosen, pair.rejected)
            named = {"pair_id": pair.pair_id}
            for tally in tallies:
                layout = PAIR_LAYOUTS[tally.layout]
                if reason := why_not(pair.asked, answers, tools=layout.tools):
                    tally.leave_out(named, reason)
                else:
                    tally.write(layout.row(pair, structured), answers, named)
    return [tally.file() for tally in tallies]


def _write_responses(kept: Kept | Generated, split: str, scale: _Scale, folder: Path, left_out: LineWriter) -> _Tally:
    def responses() -> Iterator[Response]:
        return kept.responses(split, scale.score)

    structured = kept.is_structured
    table = scale.table if split == scale.split else ScoreTable(responses())
    with _writer(folder, KTO, split, structured=structured) as writer:
        tally = _Tally(KTO, split, writer, left_out)
        verdicts = judged(responses(), table, scale.threshold.value, scale.margin, structured=structured)
        for verdict in verdicts:
            _take(tally, verdict)
    return tally


def _take(tally: _Tally, verdict: Verdict) -> None:
    response = verdict.response
    if verdict.row is None:
        tally.leave_out(response.named, str(verdict.left_out), response.side)
    else:
        tally.write(verdict.row, (response.answer,), response.named, response.side)


def _writer(folder: Path, layout: str, split: str, *, structured: bool) -> LineWriter:
    (folder / layout).mkdir(exist_ok=True)
    return LineWriter(folder / layout / f"{split}.jsonl", structured=structured)


def _record(scale: _Scale, tally: _Tally) -> ThresholdRecord:
    """How the threshold was found.

    Raises:
        ConfigError: the margin left no response on one side.
    """
    value = scale.threshold.value
    chosen, rejected, unpaired = (scale.table.of_side(side) for side in (*SIDES, None))
    is_generation = scale.score == "aggregate"
    desirable, undesirable = tally.labels[True], tally.labels[False]
    if not desirable or not undesirable:
        message = (
            f"a margin of {scale.margin:g} about the threshold {value:g} leaves {desirable:,} desirable and "
            f"{undesirable:,} undesirable responses, and KTO needs both; give a smaller --margin"
        )
        raise ConfigError(message)
    found = weights(desirable, undesirable)
    return ThresholdRecord(
        score=scale.score,
        method=scale.threshold.method,
        value=value,
        margin=scale.margin,
        split=scale.split,
        responses=len(scale.table.scores),
        several_scores=scale.table.several,
        separation=scale.threshold.separation,
        chosen=len(chosen),
        chosen_below=int(np.sum(chosen < value)),
        rejected=len(rejected),
        rejected_above=int(np.sum(rejected >= value)),
        unpaired=len(unpaired) if is_generation else None,
        unpaired_above=int(np.sum(unpaired >= value)) if is_generation else None,
        desirable=desirable,
        undesirable=undesirable,
        desirable_weight=found.desirable,
        undesirable_weight=found.undesirable,
        desirable_range=found.desirable_range,
        undesirable_range=found.undesirable_range,
    )


def _figure(scale: _Scale) -> bytes:
    chosen, rejected, unpaired = (scale.table.of_side(side) for side in (*SIDES, None))
    of_generation = unpaired if scale.score == "aggregate" else None
    return draw_scores(chosen, rejected, scale.threshold.value, scale.margin, of_generation)
