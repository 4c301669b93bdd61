"""The data of a generation: dataset/train with the pairs, and responses/ with all that was answered."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.annotators.protocol import Annotator
from flows.generate.pairing import Paired
from flows.generate.plan import score_columns
from flows.generate.run import Floats, GenerationRun, Judged
from transforms.dataset.shards import SplitWriter, version_of, write_splits
from transforms.preparation.generated import pairs_table
from transforms.records.manifest import FileRecord
from transforms.statistics.intervals import Ints
from transforms.tables.schema import ANSWERS, PAIRED, written

SPLIT: Final = "train"
Counts = npt.NDArray[np.int32]


class Written(NamedTuple):
    """What was written."""

    version: str
    files: list[FileRecord]
    status: dict[str, dict[str, int]]  # policy → status → responses
    chosen: dict[str, int]  # policy → pairs whose chosen side is its
    rejected: dict[str, int]


def write_data(run: GenerationRun, paired: Paired) -> Written:
    """Write pairs and responses, in the order of prompts."""
    kept = len(paired.pairs.chosen) - paired.beyond
    chosen, rejected, margin = paired.pairs.chosen[:kept], paired.pairs.rejected[:kept], paired.pairs.margin[:kept]
    shard_rows = run.config.output.shard_rows
    answers = _answers_schema(run)
    responses = SplitWriter(run.work / "responses", answers, shard_rows=shard_rows, split=None)
    pairs_schema = written(PAIRED, structured=run.structured or _has_reasoning(run))
    pairs = SplitWriter(run.work / "dataset" / SPLIT, pairs_schema, shard_rows=shard_rows, split=SPLIT)
    thinking = {policy.label: policy.config.thinking for policy in run.plan.policies}
    sides = _sides(len(paired.score), chosen, rejected)
    status: dict[str, dict[str, int]] = {policy.label: {} for policy in run.plan.policies}
    start = 0
    with run.progress.bar("write shards", unit="responses", total=len(paired.score)) as advance:
        for part in run.answers:
            end = start + len(part)
            mine = np.flatnonzero((chosen >= start) & (chosen < end))  # both sides of a pair are of one prompt
            if len(mine):
                table = pairs_table(
                    part,
                    chosen[mine] - start,
                    rejected[mine] - start,
                    score=paired.score[start:end],
                    margin=margin[mine],
                    thinking=thinking,
                )
                pairs.write(table.select(pairs_schema.names))
            table = _with_scores(run, part, paired.score[start:end], sides[:, start:end], slice(start, end))
            for policy, state in zip(table["policy"].to_pylist(), table["status"].to_pylist(), strict=True):
                status[policy][state] = status[policy].get(state, 0) + 1
            responses.write(table.select(answers.names))
            start = end
            advance(len(part))
    files = [record.model_copy(update={"path": f"dataset/{record.path}"}) for record in pairs.close()]
    write_splits(run.work / "dataset", [SPLIT])
    files += responses.close()
    version = version_of({SPLIT: pairs.content, "responses": responses.content})
    policies = np.array([name for part in run.answers for name in part["policy"].to_pylist()], object)
    return Written(version, files, status, _count(policies[chosen]), _count(policies[rejected]))


def _answers_schema(run: GenerationRun) -> pa.Schema:
    """schema.ANSWERS with a column a score."""
    scores = [pa.field("score", pa.float64())]
    for annotator in run.plan.annotators:
        scores += [pa.field(name, pa.float64()) for name in score_columns(annotator)]
    counts = [pa.field(f"{side}_in", pa.int32(), nullable=False) for side in ("chosen", "rejected")]
    return pa.schema([*written(ANSWERS, structured=run.structured), *scores, *counts])


def _with_scores(run: GenerationRun, part: pa.Table, score: Floats, sides: Counts, rows: slice) -> pa.Table:
    """A part with its scores, and how many pairs each response is in; a usable one without a score says so and why."""
    unscored = np.isnan(score) & (np.array(part["status"].to_pylist(), object) == "usable")
    status = np.where(unscored, "unscored", np.array(part["status"].to_pylist(), object))
    place = part.schema.get_field_index("status")
    table = part.set_column(place, ANSWERS.field("status"), pa.array(status.tolist(), pa.string()))
    why = part["why"].to_pylist()
    for row in np.flatnonzero(unscored).tolist():
        found = [(annotator.label, judged.why.get(rows.start + row)) for annotator, judged in _judged(run)]
        why[row] = "; ".join(f"{label}: {reason}" for label, reason in found if reason)
    table = table.set_column(part.schema.get_field_index("why"), ANSWERS.field("why"), pa.array(why, pa.string()))
    table = table.append_column("score", _floats(score))
    for annotator, judged in _judged(run):
        own, *further = score_columns(annotator)
        table = table.append_column(own, _floats(np.concatenate(judged.scores)[rows]))
        values = np.concatenate(judged.objectives)[rows] if further else np.zeros((0, 0))
        for at, name in enumerate(further):
            table = table.append_column(name, _floats(values[:, at]))
    for at, side in enumerate(("chosen", "rejected")):
        table = table.append_column(pa.field(f"{side}_in", pa.int32(), nullable=False), pa.array(sides[at], pa.int32()))
    return table


def _judged(run: GenerationRun) -> "zip[tuple[Annotator, Judged]]":
    return zip(run.plan.annotators, run.judged, strict=True)


def _sides(responses: int, chosen: Ints, rejected: Ints) -> Counts:
    """How many pairs each response is the chosen and the rejected side of, (2, responses)."""
    found = np.zeros((2, responses), np.int32)
    for row, places in enumerate((chosen, rejected)):
        np.add.at(found[row], places, 1)
    return found


def _floats(values: Floats) -> pa.Array:
    """Null where there is no number."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def _has_reasoning(run: GenerationRun) -> bool:
    return any(part["reasoning"].null_count < len(part) for part in run.answers)


def _count(names: "npt.NDArray[np.object_]") -> dict[str, int]:
    found, counts = np.unique(names.astype(str), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
