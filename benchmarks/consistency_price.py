"""What does a decision cost? Completions a pair against wrong verdicts, for fixed n, by counts and by rewards.

    python benchmarks/consistency_price.py --recipe flows/configs/starter.yaml --truth 64 --out runs/price
    python benchmarks/consistency_price.py --replay runs/price
    python benchmarks/consistency_price.py --replay runs/price --budgets 100 140 200 --repeats 40   # the rate alone

Samples and scores `--truth` completions of every cut pair of a recipe once (through the ledger, so it can be stopped
and continued), takes the share of all of them as the truth, and replays every way to decide on random draws of them:
the same lines of code that decide a run (transforms.consistency.deciding), many times over. The truth of a pair is
known no better than its completions allow, and the replay draws from them: where a pair's share is near the threshold,
every method errs. Prints the trade-off curve and the price at the error of fixed n = 8; writes a figure and a table.

Two limits stand beside it: the best that any rule could do that looks at neither margins nor rewards but knows how
consistencies are distributed, and what the estimator by rewards would cost if it knew the run's shape, from all
completions, before the first one, asked for no audit, and went wherever a completion is worth most.

With `--values` the reward model also says what it makes of the kept prefixes as they are (`proxy.values`), and ways
that know it stand beside those that do not.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from transforms.consistency.evidence import Evidence

FIXED = (1, 2, 3, 4, 5, 8, 12, 16)
DELTAS = (0.35, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005)
STOPS = (0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001)  # consistency.stop_below
N_MAX = 16
THRESHOLD = 0.5
VALUES = ("chosen_value", "rejected_value")
PRICES = (0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0002)  # of a completion


class Truth(NamedTuple):
    """Everything that was sampled, of the cut pairs of one dataset."""

    pair_ids: list[str]
    chosen_cut: npt.NDArray[np.bool_]
    rejected_cut: npt.NDArray[np.bool_]
    share_cut: npt.NDArray[np.float64]
    full_chosen: npt.NDArray[np.float64]
    full_rejected: npt.NDArray[np.float64]
    chosen: npt.NDArray[np.float32]  # (pairs, truth), rewards of completions; NaN for a side that is whole
    rejected: npt.NDArray[np.float32]
    chosen_tokens: npt.NDArray[np.int64]  # (pairs, truth), their lengths; 0 for a side that is whole
    rejected_tokens: npt.NDArray[np.int64]
    chosen_value: npt.NDArray[np.float64]  # of the kept prefix as it is; NaN where whole, or nobody asked
    rejected_value: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]  # consistency over all of them


def collect(recipe_path: Path, flags: list[str], truth: int, out: Path, *, values: bool) -> Truth:
    """Sample and score, or take from the ledger, `truth` completions of every cut pair."""
    from flows.curate.estimating import estimate
    from flows.curate.loading import load, prepare_parts
    from flows.curate.plan import plan_run
    from flows.curate.run import Run
    from flows.recipe.command_line import load_recipe
    from flows.recipe.curation import ProxyConfig
    from transforms.tables.schema import SIDES

    recipe = load_recipe(["--config", str(recipe_path), *flags], default=recipe_path, program="price")
    sampling = recipe.sampling.model_copy(update={"n": truth, "first": None})
    everyone = ProxyConfig(audit=1.0, values=True) if values else None  # its audit leaves nothing to it
    recipe = recipe.model_copy(update={"sampling": sampling, "proxy": everyone})
    with tempfile.TemporaryDirectory() as work:
        run = Run(plan_run(recipe), Path(work))
        prepare_parts(run, load(run))
        evidence = estimate(run, lambda _name, call: call())
        rows = np.flatnonzero(evidence.cut & evidence.usable)
    nothing = np.full(len(rows), np.nan)
    value = {side: nothing if evidence.values is None else evidence.values[side][rows].astype(float) for side in SIDES}
    found = Truth(
        [evidence.pair_ids[row] for row in rows.tolist()],
        evidence.sampled["chosen"][rows],
        evidence.sampled["rejected"][rows],
        evidence.share_cut[rows],
        evidence.full["chosen"][rows].astype(float),
        evidence.full["rejected"][rows].astype(float),
        evidence.completions["chosen"][rows],
        evidence.completions["rejected"][rows],
        evidence.tokens["chosen"][rows],
        evidence.tokens["rejected"][rows],
        value["chosen"],
        value["rejected"],
        evidence.shares(rows, "label"),
    )
    out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in found._asdict().items()}
    np.savez(out / "truth.npz", **arrays)
    return found


def read(out: Path) -> Truth:
    """What `collect` kept."""
    with np.load(out / "truth.npz") as kept:
        content: dict[str, Any] = {name: np.full(len(kept["pair_ids"]), np.nan) for name in VALUES}
        if missing := [name for name in Truth._fields if name not in kept and name not in VALUES]:
            sys.exit(
                f"{out / 'truth.npz'} is of another build, without {', '.join(missing)}: sample with --recipe again"
            )
        content |= {name: kept[name] for name in Truth._fields if name in kept}
    content["pair_ids"] = [str(key) for key in content["pair_ids"]]
    return Truth(**content)


def ways(audit_least: int, *, values: bool) -> Iterator[tuple[str, str, Any]]:
    """(family, setting, rules) of every way to decide."""
    from transforms.consistency.deciding import ProxyRule, Rules

    for n in FIXED:
        yield "fixed n", f"n = {n}", (n, Rules(first=n, step=1, threshold=THRESHOLD, delta=0.05))
    for delta in DELTAS:
        alone = Rules(first=1, step=1, threshold=THRESHOLD, delta=delta)
        yield "sequential", f"δ = {delta:g}", (N_MAX, alone)
        rule = ProxyRule(0.1, audit_least, min(delta, 0.3))
        yield "sequential + proxy", f"δ = {delta:g}", (N_MAX, replace(alone, proxy=rule))
        yield "rewards + proxy", f"δ = {delta:g}", (N_MAX, replace(alone, proxy=rule, estimator="rewards"))
        # The proxy alone: the audit is sampled, and every other pair is decided by the margin whatever its doubt.
        yield "proxy", f"audit to δ = {delta:g}", (N_MAX, replace(alone, proxy=replace(rule, error=0.499)))
    rule = ProxyRule(0.1, audit_least, 0.05)
    for stop in STOPS:
        stopped = Rules(first=1, step=1, threshold=THRESHOLD, delta=0.02, proxy=rule, stop_below=stop)
        yield "counts, stopped", f"below {stop:g}", (N_MAX, stopped)
        yield "rewards, stopped", f"below {stop:g}", (N_MAX, replace(stopped, estimator="rewards"))
        if values:
            yield "counts, values", f"below {stop:g}", (N_MAX, stopped)
            yield "rewards, values", f"below {stop:g}", (N_MAX, replace(stopped, estimator="rewards"))
        # Without a proxy's audit, which small data pays for and never earns back.
        yield "rewards alone, stopped", f"below {stop:g}", (N_MAX, replace(stopped, proxy=None, estimator="rewards"))
        yield "limit, rewards", f"below {stop:g}", (N_MAX, replace(stopped, proxy=None))


def decided(truth: Truth, n_max: int, rules: Any, *, seed: int, knows: Any = None, values: bool = False) -> "Evidence":
    """One replay with fresh draws.

    Args:
        truth: what was sampled.
        n_max: completions a side at most.
        rules: to decide by.
        seed: of the draws.
        values: whether what the reward model says of the prefixes is known.
        knows: transforms.consistency.gap_fits.GapFits that are known before the first completion, for a limit.
    """
    from transforms.consistency.deciding import Decider
    from transforms.consistency.evidence import Evidence
    from transforms.tables.schema import Side

    rng = np.random.default_rng(seed)
    count = len(truth.pair_ids)
    cut: dict[Side, Any] = {"chosen": truth.chosen_cut, "rejected": truth.rejected_cut}
    evidence = Evidence(truth.pair_ids, cut, truth.share_cut, n_max)
    evidence.full["chosen"][:] = truth.full_chosen
    evidence.full["rejected"][:] = truth.full_rejected
    if values:
        read = evidence.read_values()
        read["chosen"][:], read["rejected"][:] = truth.chosen_value, truth.rejected_value
    order = rng.permuted(np.tile(np.arange(truth.chosen.shape[1]), (count, 1)), axis=1)[:, :n_max]
    rewards = {"chosen": truth.chosen, "rejected": truth.rejected}
    lengths = {"chosen": truth.chosen_tokens, "rejected": truth.rejected_tokens}

    def ask(_stage: str, _number: int, asked: Any) -> int:
        for row, more in zip(asked.rows.tolist(), asked.more.tolist(), strict=True):
            span = slice(evidence.n[row], evidence.n[row] + more)
            for side in rewards:
                evidence.completions[side][row, span] = rewards[side][row, order[row, span]]  # type: ignore[index]
                evidence.tokens[side][row, span] = lengths[side][row, order[row, span]]  # type: ignore[index]
        return int(asked.completions(evidence))

    if knows is not None:
        from transforms.consistency.sequential import worth

        everyone = np.arange(count)
        evidence.gap_fits = knows
        gain = worth(evidence, everyone, step=1, threshold=rules.threshold) / evidence.costs(everyone)
        evidence.may_skip(everyone, gain < rules.stop_below)
    Decider(evidence, rules, rng.permutation(count), ask).decide()
    return evidence


def replay(truth: Truth, n_max: int, rules: Any, **how: Any) -> tuple[float, float, float]:
    """(completions a cut side, tokens a cut side, share of wrong verdicts) of one replay, as `decided` makes it."""
    evidence = decided(truth, n_max, rules, **how)
    keep = truth.shares >= rules.threshold
    # A pair whose completions split exactly at the threshold has no true verdict.
    known = truth.shares != rules.threshold
    wrong = float(((evidence.verdict > 0) != keep)[known].mean())
    sides = int(evidence.sides_cut.sum())
    tokens = sum(int(each.sum()) for each in evidence.tokens.values())
    return float((evidence.n * evidence.sides_cut).sum() / sides), tokens / sides, wrong


def compare_rates(truth: Truth, budgets: list[int], repeats: int, audit_least: int) -> None:
    """Width and error of the dataset's rate where a budget is too small for all, by what it is for."""
    from transforms.consistency.deciding import ProxyRule, Rules
    from transforms.consistency.rates import consistency_rates

    true, sources = float(truth.shares.mean()), ["real"] * len(truth.pair_ids)
    for budget in budgets:
        widths: dict[str, float] = {}
        for purpose in ("both", "rates"):
            rule = ProxyRule(0.1, audit_least, 0.05)
            rules = Rules(1, 1, THRESHOLD, 0.1, proxy=rule, completions=budget, purpose=purpose)
            found = []
            for seed in range(repeats):
                evidence = decided(truth, N_MAX, rules, seed=seed)
                rate = next(one for one in consistency_rates(evidence, sources, 1) if one.reference == "label")
                tokens = sum(int(each.sum()) for each in evidence.tokens.values())
                found.append((rate.high - rate.low, abs(rate.rate - true), rate.low <= true <= rate.high, tokens))
            width, error, covered, tokens = np.mean(found, axis=0)
            widths[purpose] = float(width)
            print(
                f"{budget} completions, purpose {purpose:<6} width {width:.3f}, error {error:.3f}, covered "
                f"{covered:.0%} of {repeats}, {tokens:,.0f} tokens",
                flush=True,
            )
        print(f"{budget} completions: width by rates {widths['rates'] / widths['both']:.2f} of both")


def _call(work: Callable[[], tuple[float, float, float]]) -> tuple[float, float, float]:
    return work()


def gaps_of(truth: Truth) -> npt.NDArray[np.float64]:
    """How far each completion won, towards the label, (pairs, truth)."""
    chosen = np.where(truth.chosen_cut[:, None], truth.chosen, truth.full_chosen[:, None])
    rejected = np.where(truth.rejected_cut[:, None], truth.rejected, truth.full_rejected[:, None])
    found: npt.NDArray[np.float64] = (chosen - rejected).astype(float)
    return found


def known_shape(truth: Truth) -> Any:
    """The shape of all completions' gaps, in folds, as no run can know it beforehand."""
    from transforms.consistency.gap_fits import GapFits
    from transforms.consistency.reward_gaps import Gaps, fit_shape

    skew = truth.chosen_cut.astype(np.int64) - truth.rejected_cut
    gaps = Gaps(truth.full_chosen - truth.full_rejected, truth.share_cut, gaps_of(truth), skew)
    shape = fit_shape(gaps, threshold=THRESHOLD)
    return GapFits(True, "known", 0.0, (shape,), np.zeros(len(skew), np.int64), THRESHOLD, True)


def limit(truth: Truth, price: float) -> tuple[float, float]:
    """(completions, wrong verdicts) of the best rule that knows how consistencies are distributed, and no margin.

    Backward induction over (completions, wins): stop with the likelier verdict, or pay `price` wrong verdicts for one
    more completion. The distribution it knows is the true one of these pairs, which no rule can know beforehand.
    """
    decided = truth.shares[truth.shares != THRESHOLD]
    keep = decided >= THRESHOLD
    completions = truth.chosen.shape[1]
    won = np.round(decided * completions).astype(int)
    chances = [  # (wins, pairs): joint probability of pair and wins, drawn like the replay without putting back
        np.stack([hypergeom.pmf(wins, completions, won, n) for wins in range(n + 1)]) / len(decided)
        for n in range(N_MAX + 1)
    ]
    wrong = [np.minimum(chance[:, keep].sum(1), chance[:, ~keep].sum(1)) for chance in chances]
    value, goes_on = wrong[N_MAX], [np.zeros(N_MAX + 1, bool)]
    for n in range(N_MAX - 1, -1, -1):
        # Of n + 1 completions in a random order the last was a win with chance wins / (n + 1).
        wins = np.arange(n + 1)
        later = value[wins] * (n + 1 - wins) / (n + 1) + value[wins + 1] * (wins + 1) / (n + 1)
        later += price * chances[n].sum(1)
        goes_on.append(later < wrong[n])
        value = np.minimum(later, wrong[n])
    goes_on.reverse()
    reached, asked, mistakes = np.ones(1), 0.0, 0.0
    for n in range(N_MAX + 1):  # reached: the share of the orders of n completions that get here, by wins
        mistakes += float((wrong[n] * reached * ~goes_on[n]).sum())
        on = reached * goes_on[n]
        asked += float((chances[n].sum(1) * on).sum())
        if n < N_MAX:
            wins = np.arange(n + 2)
            by_loss, by_win = np.append(on, 0.0), np.append(0.0, on)
            reached = (by_loss * (n + 1 - wins) + by_win * wins) / (n + 1)
    return asked, mistakes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "flows/configs/starter.yaml")
    parser.add_argument("--replay", type=Path, help="a folder of an earlier run: sample nothing")
    parser.add_argument("--truth", type=int, default=64, help="completions a cut side that count as the truth")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--budgets", type=int, nargs="+", help="completions of the run: the rate's interval instead")
    parser.add_argument("--processes", type=int, default=1, help="replays at a time")
    parser.add_argument("--audit-least", type=int, default=40)
    parser.add_argument("--values", action="store_true", help="read the kept prefixes as they are too")
    parser.add_argument("--out", type=Path, default=Path("runs/price"))
    arguments, flags = parser.parse_known_args()
    out = arguments.replay or arguments.out
    if arguments.replay and arguments.values:
        parser.error("--replay samples and reads nothing: leave --values to the run that did")
    truth = (
        read(out)
        if arguments.replay
        else collect(arguments.recipe, flags, arguments.truth, out, values=arguments.values)
    )
    if arguments.budgets:
        compare_rates(truth, arguments.budgets, arguments.repeats, arguments.audit_least)
        return
    pairs, completions = truth.chosen.shape
    length = (truth.chosen_tokens.sum() + truth.rejected_tokens.sum()) / completions
    length /= truth.chosen_cut.sum() + truth.rejected_cut.sum()
    print(f"{pairs} cut pairs, {completions} completions a cut side, {length:.1f} tokens each")
    print(f"true consistency: mean {truth.shares.mean():.1%}, {np.mean(truth.shares >= 0.5):.1%} of the pairs keep")
    near = np.mean(np.abs(truth.shares - THRESHOLD) < 0.15)
    print(f"{near:.1%} of the pairs are within 0.15 of the threshold")
    curve: dict[str, list[dict[str, Any]]] = {}
    knows = known_shape(truth)
    values = bool(np.isfinite(truth.chosen_value).any() or np.isfinite(truth.rejected_value).any())
    pool = Pool(arguments.processes)
    for family, setting, (n_max, rules) in ways(arguments.audit_least, values=values):
        how: dict[str, Any] = {
            "knows": knows if family == "limit, rewards" else None,
            "values": family.endswith("values"),
        }
        asked = [partial(replay, truth, n_max, rules, seed=seed, **how) for seed in range(arguments.repeats)]
        found = np.array(pool.map(_call, asked))
        cost, tokens, wrong = found.mean(axis=0)
        error = found[:, 2].std(ddof=1) / len(found) ** 0.5
        curve.setdefault(family, []).append(
            {"setting": setting, "completions": cost, "tokens": tokens, "wrong": wrong, "error": error}
        )
        print(
            f"{family:<20} {setting:<18} {cost:6.2f} completions a side, {tokens:7.1f} tokens, "
            f"wrong {wrong:6.2%} ± {error:.2%}",
            flush=True,
        )
    for price in PRICES:
        cost, wrong = limit(truth, price)
        curve.setdefault("limit, counts", []).append(
            {"setting": f"{price:g}", "completions": cost, "tokens": cost * length, "wrong": wrong, "error": 0.0}
        )
        print(f"{'limit, counts':<20} {f'{price:g} wrong each':<18} {cost:6.2f} completions a side, wrong {wrong:6.2%}")
    at = next(point for point in curve["fixed n"] if point["setting"] == "n = 8")
    summary = {}
    for family, points in curve.items():
        cost, tokens = (cost_at(points, at["wrong"], by) for by in ("completions", "tokens"))
        if cost is None or tokens is None:
            print(f"{family}: never errs as little as fixed n = 8 ({at['wrong']:.2%} ± {at['error']:.2%})")
        else:
            summary[family] = {"completions": cost / at["completions"], "tokens": tokens / at["tokens"]}
            print(
                f"{family}: errs as fixed n = 8 ({at['wrong']:.2%} ± {at['error']:.2%}) at "
                f"{cost / at['completions']:.2f} of its completions and {tokens / at['tokens']:.2f} of its tokens"
            )
    (out / "price.json").write_text(json.dumps({"curve": curve, "price_at_n8": summary, "pairs": pairs}, indent=2))
    draw(curve, out / "price.png")


def cost_at(points: list[dict[str, Any]], wrong: float, by: str = "completions") -> float | None:
    """Where a family's curve, drawn with straight lines, falls to `wrong`; None where it never does."""
    ordered = sorted(points, key=lambda point: point[by])
    for before, after in zip([None, *ordered], ordered, strict=False):
        if after["wrong"] <= wrong:
            if before is None:
                return float(after[by])
            way = (before["wrong"] - wrong) / (before["wrong"] - after["wrong"])
            return float(before[by] + way * (after[by] - before[by]))
    return None


def draw(curve: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Wrong verdicts against completions, one line a family."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    styles = {
        "fixed n": "#7a8599",
        "sequential": "#2b6cb0",
        "proxy": "#d9822b",
        "sequential + proxy": "#2f7d59",
        "rewards + proxy": "#8f5bbd",
        "counts, stopped": "#1f9d8b",
        "rewards, stopped": "#c2416b",
        "counts, values": "#7fb7ad",
        "rewards, values": "#e08aa8",
        "rewards alone, stopped": "#7a4a2b",
        "limit, counts": "#b9c2cf",
        "limit, rewards": "#d8c3a5",
    }
    for family, points in curve.items():
        ordered = sorted(points, key=lambda point: point["completions"])
        x, y = [p["completions"] for p in ordered], [100 * p["wrong"] for p in ordered]
        axes.errorbar(
            x, y, [196 * p["error"] for p in ordered], marker="o", markersize=4, color=styles[family], label=family
        )
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["¼", "½", "1", "2", "4", "8", "16"])
    axes.set_xlabel("completions a cut side")
    axes.set_ylabel("wrong verdicts, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
