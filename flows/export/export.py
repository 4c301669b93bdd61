"""The files of an export: each layout of each split, and a line for each row that is in none."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from flows.versions.version import Version
from transforms.errors import ConfigError, SourceError
from transforms.exports.json_lines import LineWriter
from transforms.exports.kto import Response, ScoreTable, Verdict, judged, responses_of
from transforms.exports.layouts import KTO, LAYOUTS, PAIR_LAYOUTS
from transforms.exports.pairs import SCORE_COLUMNS, Answer, Pair, Score, columns_of, pairs_of, why_not
from transforms.exports.thresholds import Threshold, find_threshold, weights
from transforms.records.export import ExportedFile, ExportRecord, ThresholdRecord
from transforms.report.pictures import draw_scores
from transforms.tables.schema import STRUCTURE

LEFT_OUT_FILE: Final = "left-out.jsonl"
FIGURE: Final = "scores.png"
_TRAIN: Final = "train"


class Choices(NamedTuple):
    """What is asked for.

    Attributes:
        layouts: of LAYOUTS.
        score: which one labels kto's responses; None for the reward model's where half of them have it, else the one
            that more have.
        threshold: `otsu`, `median` or a score.
        margin: responses less than this away from it are left out.
    """

    layouts: tuple[str, ...]
    score: Score | None = None
    threshold: str | float = "otsu"
    margin: float = 0.0


def write_files(version: Version, choices: Choices, folder: Path) -> ExportRecord:
    """Write `<layout>/<split>.jsonl` of each layout and split with rows, and left-out.jsonl.

    Args:
        version: whose kept pairs are exported.
        choices: what is asked for.
        folder: empty.

    Raises:
        ConfigError: a run without kept pairs, or without the score that kto needs; a threshold that parts none.
        SourceError: as `Version.batches`.
    """
    kept = _Kept.of(version)
    scale = _Scale.of(kept, choices) if KTO in choices.layouts else None
    files, threshold = [], None
    with LineWriter(folder / LEFT_OUT_FILE, structured=False) as left_out:
        for split in kept.columns:
            files += _write_pairs(kept, split, choices.layouts, folder, left_out)
        if scale is not None:
            tallies = {split: _write_responses(kept, split, scale, folder, left_out) for split in kept.columns}
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
    )


class _Kept(NamedTuple):
    """The kept pairs of a version.

    Attributes:
        version: of them.
        columns: the names of each split's columns, of the splits with rows.
    """

    version: Version
    columns: dict[str, list[str]]

    @classmethod
    def of(cls, version: Version) -> "_Kept":
        splits = [split for split in version.splits if version.manifest.counts.splits[split]]
        if not splits:
            message = f"{version.where} kept no pair, so there is nothing to export"
            raise ConfigError(message)
        return cls(version, {split: next(version.batches(split)).column_names for split in splits})

    @property
    def is_structured(self) -> bool:
        """Whether any row may have more than roles and contents."""
        return any(STRUCTURE.name in names for names in self.columns.values())

    def pairs(self, split: str, score: Score | None = None) -> Iterator[Pair]:
        """Those of a split, in its order."""
        rows = 0
        for batch in self.version.batches(split, columns_of(self.columns[split], score)):
            rows += len(batch)
            yield from pairs_of(batch, score)
        expected = sum(file.rows for file in self.version.tables[split])
        if rows != expected:
            message = f"{self.version.where}: {split} has {rows:,} rows, its manifest says {expected:,}"
            raise SourceError(message)


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

    def write(self, row: dict[str, Any], answers: tuple[Answer, ...], of: str, side: str | None = None) -> None:
        try:
            self.writer.write(row)
        except ValueError:
            self.leave_out(of, "not_json", side)
            return
        self.responses += len(answers)
        self.without_end += sum(answer.cut for answer in answers)
        self.unfinished += sum(not answer.finished for answer in answers)
        if "label" in row:
            self.labels[row["label"]] += 1

    def leave_out(self, of: str, reason: str, side: str | None = None) -> None:
        self.left_out[reason] += 1
        row = {"layout": self.layout, "split": self.split, "pair_id": of, "side": side, "reason": reason}
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

    score: Score
    split: str
    table: ScoreTable
    threshold: Threshold
    margin: float

    @classmethod
    def of(cls, kept: _Kept, choices: Choices) -> "_Scale":
        # The test split has no say in its own labels.
        split = _TRAIN if _TRAIN in kept.columns else next(iter(kept.columns))
        score = choices.score or _score_of(kept.version, split)
        table = ScoreTable(responses_of(kept.pairs(split, score)))
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


_ADVICE: Final[dict[Score, str]] = {
    "reward": "take --score source, or curate with a reward model (consistency or a filter by reward)",
    "source": "take --score reward, or a source that scores its responses",
}


def _score_of(version: Version, split: str) -> Score:
    """The reward model's if half of the split's responses have it, so that a few unread ones change no scale.

    Else the one that more of them have.

    Raises:
        ConfigError: there is none of either.
    """
    found: Counter[Score] = Counter()
    sides: Counter[Score] = Counter()
    for score, columns in SCORE_COLUMNS.items():
        for batch in version.batches(split, list(columns.values())):
            sides[score] += len(columns) * len(batch)
            found[score] += sum(len(batch) - batch[name].null_count for name in columns.values())
    if not found.total():
        message = (
            f"no response of {version.where} has a score, neither the reward model's (reward_chosen, reward_rejected) "
            "nor the source's (chosen_score, rejected_score), so none is desirable or not; curate with a reward model, "
            "or leave kto out of --to"
        )
        raise ConfigError(message)
    is_read = 2 * found["reward"] >= sides["reward"] or found["reward"] >= found["source"]
    return "reward" if is_read else "source"


def _in_words(score: Score) -> str:
    return {"reward": "rewards of a reward model", "source": "scores of a source"}[score]


def _write_pairs(
    kept: _Kept, split: str, layouts: tuple[str, ...], folder: Path, left_out: LineWriter
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
            for tally in tallies:
                layout = PAIR_LAYOUTS[tally.layout]
                if reason := why_not(pair.asked, answers, tools=layout.tools):
                    tally.leave_out(pair.pair_id, reason)
                else:
                    tally.write(layout.row(pair, structured), answers, pair.pair_id)
    return [tally.file() for tally in tallies]


def _write_responses(kept: _Kept, split: str, scale: _Scale, folder: Path, left_out: LineWriter) -> _Tally:
    def responses() -> Iterator[Response]:
        return responses_of(kept.pairs(split, scale.score))

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
        tally.leave_out(response.of, str(verdict.left_out), response.side)
    else:
        tally.write(verdict.row, (response.answer,), response.of, response.side)


def _writer(folder: Path, layout: str, split: str, *, structured: bool) -> LineWriter:
    (folder / layout).mkdir(exist_ok=True)
    return LineWriter(folder / layout / f"{split}.jsonl", structured=structured)


def _record(scale: _Scale, tally: _Tally) -> ThresholdRecord:
    """How the threshold was found.

    Raises:
        ConfigError: the margin left no response on one side.
    """
    value = scale.threshold.value
    chosen, rejected = (scale.table.of_side(side) for side in ("chosen", "rejected"))
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
        desirable=desirable,
        undesirable=undesirable,
        desirable_weight=found.desirable,
        undesirable_weight=found.undesirable,
        desirable_range=found.desirable_range,
        undesirable_range=found.undesirable_range,
    )


def _figure(scale: _Scale) -> bytes:
    chosen, rejected = (scale.table.of_side(side) for side in ("chosen", "rejected"))
    return draw_scores(chosen, rejected, scale.threshold.value, scale.margin)
