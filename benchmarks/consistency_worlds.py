"""Are verdicts and intervals as right as they say? Counts and rewards in eight made worlds whose truth is known.

    python benchmarks/consistency_worlds.py --pairs 600 --repeats 10
    python benchmarks/consistency_worlds.py --real runs/price --repeats 100

In each world pairs have a margin, a share cut and completions whose reward gap is drawn from a distribution of the
pair's own, so a pair's consistency is known to many digits. Five worlds are as the estimators assume or nearly (normal
noise, heavy tails, spreads that grow with the cut, a margin that knows nothing, one pair in ten a stranger), three are
not (noise with two modes, noise skewed to another side by pair, rewards in few steps). The same lines of code that
decide a run decide them. For each way to do it this prints the completions a pair, how many verdicts were wrong, among
all pairs and among those that were sampled until sure or decided by the proxy (at most δ), and how often the 95 %
interval of the rate held the rate of the world that the pairs are a sample of.

`--real` takes what `consistency_price.py` sampled as the world: prompts are drawn from it with putting back, all pairs
of each, and completions without, so that the share of all completions is a pair's truth and the mean of these shares
the rate. For data of which each pair has one side cut.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

DELTA, ACCEPTED, THRESHOLD, N_MAX = 0.1, 0.05, 0.5, 16
EXACT = 1000  # draws that a pair's consistency is known from
Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, int]], Floats]


class World(NamedTuple):
    """Pairs with a side cut, and what their completions would score."""

    margin: Floats
    share_cut: Floats
    side: npt.NDArray[np.int64]  # 1: the chosen one is completed
    gaps: Floats  # (pairs, EXACT)
    prompt: npt.NDArray[np.int64]

    @property
    def consistency(self) -> Floats:
        found: Floats = np.heaviside(self.gaps, 0.5).mean(axis=1)
        return found


def _t(degrees: float) -> Noise:
    return lambda rng, shape: rng.standard_t(degrees, shape)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.normal(size=shape)


def _two_modes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.where(rng.random(shape) < 0.25, 2.2, -0.73) + 0.4 * rng.normal(size=shape)


def _skewed(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Gamma noise that leans to the one or the other side, by pair."""
    lean = rng.choice([-1.0, 1.0], (shape[0], 1))
    found: Floats = lean * (rng.gamma(1.5, 1, shape) - 1.5) / 1.5**0.5
    return found


def made(
    pairs: int, rng: np.random.Generator, noise: Noise = _normal, *, grows: float = 0.0, knows: bool = True,
    strangers: float = 0.0, steps: float = 0.0,
) -> World:  # fmt: skip
    """One world: places from the margin, less where more is cut, and noise around them."""
    margin, cut = 3 * rng.normal(0.5, 1, pairs), rng.uniform(0.1, 0.9, pairs)
    foretold = margin if knows else rng.permutation(margin)
    place = foretold * (0.32 + 0.48 * (1 - cut)) + rng.normal(size=pairs)
    place = np.where(rng.random(pairs) < strangers, rng.normal(0, 4, pairs), place)
    spread = 1.5 * np.exp(0.3 * rng.normal(size=pairs) + grows * (cut - 0.5))
    side = rng.choice([1, -1], pairs)
    gaps = place[:, None] + (spread * side)[:, None] * noise(rng, (pairs, EXACT))
    return World(margin, cut, side, np.round(gaps / steps) * steps if steps else gaps, rng.integers(0, 2**31, pairs))


def real(folder: Path) -> World:
    """All pairs of `consistency_price.py`, with all completions."""
    from benchmarks.consistency_price import gaps_of, read

    truth = read(folder)
    if (truth.chosen_cut & truth.rejected_cut).any():
        sys.exit(f"{folder} has pairs with both sides cut; expected data that POET cut")
    prompts = np.unique([key[:16] for key in truth.pair_ids], return_inverse=True)[1]
    side = np.where(truth.chosen_cut, 1, -1)
    return World(truth.full_chosen - truth.full_rejected, truth.share_cut, side, gaps_of(truth), prompts)


def drawn_from(world: World, rng: np.random.Generator) -> World:
    """As many prompts as there are, drawn with putting back, each a new one; completions in random order."""
    prompts = rng.choice(world.prompt.max() + 1, world.prompt.max() + 1)
    rows = [np.flatnonzero(world.prompt == prompt) for prompt in prompts]
    places, of_new = np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(mine) for mine in rows])
    gaps = rng.permuted(world.gaps[places], axis=1)
    return World(world.margin[places], world.share_cut[places], world.side[places], gaps, of_new)


WORLDS: dict[str, dict[str, Any]] = {
    "normal": {},
    "heavy tails": {"noise": _t(3)},
    "spread grows with the cut": {"grows": 1.2},
    "a margin of noise": {"knows": False},
    "one in ten a stranger": {"strangers": 0.1},
    "two modes (breaks)": {"noise": _two_modes},
    "skewed by pair (breaks)": {"noise": _skewed},
    "few steps (breaks)": {"steps": 1.5},
}


def ways() -> Iterator[tuple[str, Any]]:
    """(name, rules) of every way to decide."""
    from transforms.consistency.deciding import ProxyRule, Rules

    proxy = ProxyRule(0.1, 64, ACCEPTED)
    counts = Rules(first=1, step=1, threshold=THRESHOLD, delta=DELTA, proxy=proxy)
    rewards = replace(counts, estimator="rewards")
    yield "counts", counts
    yield "rewards", rewards
    yield "rewards, no proxy", replace(rewards, proxy=None)
    yield "rewards, stopped below 0.01", replace(rewards, stop_below=0.01)


class Outcome(NamedTuple):
    """Of one run."""

    completions: float  # a cut side
    wrong: float  # of all verdicts
    wrong_when_sure: float  # of those that were sampled until sure, or decided by the proxy
    covers: bool  # the interval of the rate
    width: float
    by_rewards: bool


def run(world: World, rules: Any, seed: int, rate_of_all: float) -> Outcome:
    """Decide a world's pairs."""
    from transforms.consistency.deciding import Decider
    from transforms.consistency.evidence import Evidence
    from transforms.consistency.rates import consistency_rates
    from transforms.tables.schema import Side

    rng, count = np.random.default_rng(seed), len(world.margin)
    ids = [f"{int(prompt):08x}{row:024x}" for row, prompt in enumerate(world.prompt)]
    cut: dict[Side, Any] = {"chosen": world.side > 0, "rejected": world.side < 0}
    evidence = Evidence(ids, cut, world.share_cut, N_MAX)
    evidence.full["chosen"][:] = np.where(world.side > 0, world.margin, 0)
    evidence.full["rejected"][:] = np.where(world.side < 0, -world.margin, 0)
    drawn = (world.gaps[:, :N_MAX] * world.side[:, None]).astype(np.float32)

    def ask(_stage: str, _number: int, asked: Any) -> int:
        for row, more in zip(asked.rows.tolist(), asked.more.tolist(), strict=True):
            span = slice(evidence.n[row], evidence.n[row] + more)
            evidence.completions["chosen" if world.side[row] > 0 else "rejected"][row, span] = drawn[row, span]
        return int(asked.completions(evidence))

    Decider(evidence, rules, rng.permutation(count), ask).decide()
    truth = world.consistency
    known = truth != THRESHOLD  # a pair whose completions split evenly has no true verdict
    wrong = ((evidence.verdict > 0) != (truth >= THRESHOLD)) & known
    sure = np.isin(evidence.decided_by, ("sampling", "proxy"))
    (rate,) = (one for one in consistency_rates(evidence, ["made"] * count, rules.first) if one.reference == "label")
    fits = evidence.gap_fits
    return Outcome(
        float(evidence.n.mean()),
        float(wrong.mean()),
        float(wrong[sure].mean()) if sure.any() else 0.0,
        rate.low <= rate_of_all <= rate.high,
        rate.high - rate.low,
        fits is not None and fits.trusted,
    )


def one(name: str, pairs: int, seed: int, whole: float, folder: Path | None = None) -> dict[str, Outcome]:
    """Every way to decide one sample of a world."""
    rng = np.random.default_rng(seed)
    world = drawn_from(real(folder), rng) if folder else made(pairs, rng, **WORLDS[name])
    return {way: run(world, rules, seed, whole) for way, rules in ways()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1, help="samples that are decided at a time")
    parser.add_argument("--only", nargs="+", choices=sorted(WORLDS), help="worlds")
    parser.add_argument("--real", type=Path, help="a folder of consistency_price.py, to draw from in place of worlds")
    arguments = parser.parse_args()
    covered: dict[str, list[bool]] = {}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in [str(arguments.real)] if arguments.real else arguments.only or WORLDS:
            all_pairs = (
                real(arguments.real) if arguments.real else made(20_000, np.random.default_rng(1 << 20), **WORLDS[name])
            )
            whole = float(all_pairs.consistency.mean())
            # Other seeds in each world, so that samples of two worlds have nothing in common.
            first = 10_000 * list(WORLDS).index(name) if name in WORLDS else 0
            seeds = range(first, first + arguments.repeats)
            samples = list(pool.map(partial(one, name, arguments.pairs, whole=whole, folder=arguments.real), seeds))
            for way in samples[0]:
                found = [sample[way] for sample in samples]
                covered.setdefault(way, []).extend(outcome.covers for outcome in found)
                mean = {key: float(np.mean([outcome._asdict()[key] for outcome in found])) for key in Outcome._fields}
                print(
                    f"{name:<26} {way:<28} {mean['completions']:5.2f} a side, wrong {mean['wrong']:6.2%}, where sure "
                    f"{mean['wrong_when_sure']:6.2%} (δ {DELTA:.0%}), rate covered {mean['covers']:4.0%} of "
                    f"{len(found)}, width {mean['width']:.3f}, by rewards {mean['by_rewards']:4.0%}",
                    flush=True,
                )
    for way, held in covered.items():
        error = (np.mean(held) * (1 - np.mean(held)) / len(held)) ** 0.5
        print(f"all worlds: {way:<28} rate covered {np.mean(held):.1%} ± {error:.1%} of {len(held)} (95 %)")


if __name__ == "__main__":
    main()
