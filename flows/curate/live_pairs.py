"""The live pairs of a run's prepared parts, and their places in its evidence."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate.run import Run
from transforms.asking.readings import Reading, full_readings, prefix_readings
from transforms.asking.requests import Prefix, cut_sides
from transforms.consistency.evidence import Evidence
from transforms.tables.ragged import Ragged
from transforms.tables.schema import SIDES, Side


class LivePart(NamedTuple):
    """One prepared part and where its live pairs stand in the evidence."""

    number: int
    pairs: pa.Table
    places: dict[int, int]  # row of the table that nothing dropped → its place in the evidence

    def prefixes(self, evidence: Evidence, samples: Callable[[int], Sequence[int]]) -> list[Prefix]:
        """The kept prefixes of the cut sides, with the completions that `samples` wants of the pair at a place."""
        wanted = [(row, place, indices) for row, place in self.places.items() if len(indices := samples(place))]
        if not wanted:
            return []
        keeps = {side: self.pairs[f"{side}_keep"].to_pylist() for side in SIDES}
        return [
            Prefix(row, side, keeps[side][row], indices)
            for row, place, indices in wanted
            for side in SIDES
            if evidence.sampled[side][place]
        ]


def readings_before_sampling(run: Run, part: LivePart, evidence: Evidence) -> list[Reading]:
    """What the reward model reads before the first completion: full responses, and kept prefixes as they are where the
    proxy asks for their values."""
    readings = full_readings(part.pairs, part.places, run.chat)
    if run.recipe.reads_values:
        cut = [(p.pair_row, p.side, p.keep) for p in part.prefixes(evidence, lambda _: (0,))]
        readings += prefix_readings(part.pairs, cut, run.chat)
    return readings


def live_parts(run: Run) -> Iterator[LivePart]:
    """Every prepared part in order, read anew on each call."""
    start = 0
    for number, pairs in enumerate(run.prepared):
        rows = np.flatnonzero(pc.is_null(pairs["reason"]).to_numpy(zero_copy_only=False)).tolist()
        yield LivePart(number, pairs, {row: place for place, row in enumerate(rows, start)})
        start += len(rows)


def collect_evidence(run: Run) -> Evidence:
    """Ids, cut sides and shares cut of all live pairs; nothing is known of their consistency yet."""
    ids: list[str] = []
    sampled: dict[Side, list[npt.NDArray[np.bool_]]] = {side: [] for side in SIDES}
    shares: list[npt.NDArray[np.float64]] = []
    for part in live_parts(run):
        rows = list(part.places)
        ids += part.pairs["pair_id"].take(pa.array(rows, pa.int64())).to_pylist()
        flags = _to_complete(part, run.models.context)
        for side in SIDES:
            sampled[side].append(flags[side][rows])
        shares.append(_share_cut(part.pairs)[rows])
    return Evidence(
        ids,
        {side: np.concatenate([np.zeros(0, bool), *sampled[side]]) for side in SIDES},
        np.concatenate([np.zeros(0), *shares]),
        run.recipe.sampling.n,
        run.recipe.consistency.reference,
        prior_parameters=run.recipe.consistency.prior,
    )


def live_sources(run: Run) -> list[str]:
    """The source of every place in the evidence."""
    found: list[str] = []
    for part in live_parts(run):
        found += part.pairs["source"].take(pa.array(list(part.places), pa.int64())).to_pylist()
    return found


def _to_complete(part: LivePart, context: int | None) -> dict[Side, npt.NDArray[np.bool_]]:
    """Sides whose kept prefix leaves something to complete. One that fills the context is scored whole."""
    flags = {side: np.zeros(len(part.pairs), bool) for side in SIDES}
    prompts = Ragged.from_arrow(part.pairs["prompt_ids"]).lengths
    for row, side, keep in cut_sides(part.pairs):
        flags[side][row] = context is None or prompts[row] + keep < context
    return flags


def _share_cut(pairs: pa.Table) -> npt.NDArray[np.float64]:
    lengths = sum(Ragged.from_arrow(pairs[f"{side}_ids"]).lengths for side in SIDES)
    kept = sum(pairs[f"{side}_keep"].to_numpy() for side in SIDES)
    shares: npt.NDArray[np.float64] = 1 - np.asarray(kept, float) / np.asarray(lengths, float)
    return shares
