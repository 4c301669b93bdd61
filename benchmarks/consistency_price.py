"""What does a decision cost? Completions a pair against wrong verdicts, for fixed n, sequential, proxy and both.

    python benchmarks/consistency_price.py --recipe flows/configs/starter.yaml --truth 64 --out runs/price
    python benchmarks/consistency_price.py --replay runs/price

Samples and scores `--truth` completions of every cut pair of a recipe once (through the ledger, so it can be stopped
and continued), takes the share of all of them as the truth, and replays every way to decide on random draws of them:
the same lines of code that decide a run (transforms.consistency.deciding), many times over. The truth of a pair is
known no better than its completions allow, and the replay draws from them: where a pair's share is near the threshold,
every method errs. Prints the trade-off curve, the best that any rule could do that does not look at margins, and the
price at the error of fixed n = 8; writes a figure and a table.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

FIXED = (1, 2, 3, 4, 5, 8, 12, 16)
DELTAS = (0.35, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005)
N_MAX = 16
THRESHOLD = 0.5
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
    tokens: float  # mean new tokens a completion
    shares: npt.NDArray[np.float64]  # consistency over all of them


def collect(recipe_path: Path, flags: list[str], truth: int, out: Path) -> Truth:
    """Sample and score, or take from the ledger, `truth` completions of every cut pair."""
    from flows.curate.estimating import estimate
    from flows.curate.loading import load, prepare_parts
    from flows.curate.plan import plan_run
    from flows.curate.run import Run
    from flows.recipe.command_line import load_recipe

    recipe = load_recipe(["--config", str(recipe_path), *flags], default=recipe_path, program="price")
    sampling = recipe.sampling.model_copy(update={"n": truth, "first": None})
    recipe = recipe.model_copy(update={"sampling": sampling, "proxy": None})
    with tempfile.TemporaryDirectory() as work:
        run = Run(plan_run(recipe), Path(work))
        prepare_parts(run, load(run))
        evidence = estimate(run, lambda _name, call: call())
        rows = np.flatnonzero(evidence.cut & evidence.usable)
        spend = run.spend["completions"]
    tokens = (spend.tokens_generated + spend.tokens_reused) / spend.requests
    found = Truth(
        [evidence.pair_ids[row] for row in rows.tolist()],
        evidence.sampled["chosen"][rows],
        evidence.sampled["rejected"][rows],
        evidence.share_cut[rows],
        evidence.full["chosen"][rows].astype(float),
        evidence.full["rejected"][rows].astype(float),
        evidence.completions["chosen"][rows],
        evidence.completions["rejected"][rows],
        tokens,
        evidence.shares(rows, "label"),
    )
    out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in found._asdict().items()}
    np.savez(out / "truth.npz", **arrays)
    return found


def read(out: Path) -> Truth:
    """What `collect` kept."""
    with np.load(out / "truth.npz") as kept:
        content: dict[str, Any] = {name: kept[name] for name in Truth._fields}
    content["pair_ids"] = [str(key) for key in content["pair_ids"]]
    content["tokens"] = float(content["tokens"])
    return Truth(**content)


def ways(audit_least: int) -> Iterator[tuple[str, str, Any]]:
    """(family, setting, rules) of every way to decide."""
    from transforms.consistency.deciding import ProxyRule, Rules

    for n in FIXED:
        yield "fixed n", f"n = {n}", (n, Rules(first=n, step=1, threshold=THRESHOLD, delta=0.05))
    for delta in DELTAS:
        alone = Rules(first=1, step=1, threshold=THRESHOLD, delta=delta)
        yield "sequential", f"δ = {delta:g}", (N_MAX, alone)
        rule = ProxyRule(0.1, audit_least, min(delta, 0.3))
        yield "sequential + proxy", f"δ = {delta:g}", (N_MAX, replace(alone, proxy=rule))
        # The proxy alone: the audit is sampled, and every other pair is decided by the margin whatever its doubt.
        yield "proxy", f"audit to δ = {delta:g}", (N_MAX, replace(alone, proxy=replace(rule, error=0.499)))


def replay(truth: Truth, n_max: int, rules: Any, *, seed: int) -> tuple[float, float]:
    """(completions a cut pair, share of wrong verdicts) of one replay with fresh draws."""
    from transforms.consistency.deciding import Decider
    from transforms.consistency.evidence import Evidence

    rng = np.random.default_rng(seed)
    count = len(truth.pair_ids)
    evidence = Evidence(
        truth.pair_ids,
        {"chosen": truth.chosen_cut, "rejected": truth.rejected_cut},
        truth.share_cut,
        n_max,
    )
    evidence.full["chosen"][:] = truth.full_chosen
    evidence.full["rejected"][:] = truth.full_rejected
    drawn = {
        "chosen": rng.permuted(truth.chosen, axis=1)[:, :n_max],
        "rejected": rng.permuted(truth.rejected, axis=1)[:, :n_max],
    }

    def ask(_stage: str, _number: int, asked: Any) -> int:
        for row, more in zip(asked.rows.tolist(), asked.more.tolist(), strict=True):
            have = evidence.n[row]
            for side, rewards in drawn.items():
                evidence.completions[side][row, have : have + more] = rewards[row, have : have + more]  # type: ignore[index]
        return int(asked.completions(evidence))

    Decider(evidence, rules, rng.permutation(count), ask).decide()
    keep = truth.shares >= rules.threshold
    # A pair whose completions split exactly at the threshold has no true verdict.
    decided = truth.shares != rules.threshold
    wrong = float(((evidence.verdict > 0) != keep)[decided].mean())
    return float((evidence.n * evidence.sides_cut).sum() / evidence.sides_cut.sum()), wrong


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
    parser.add_argument("--audit-least", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/price"))
    arguments, flags = parser.parse_known_args()
    out = arguments.replay or arguments.out
    truth = read(out) if arguments.replay else collect(arguments.recipe, flags, arguments.truth, out)
    pairs, completions = truth.chosen.shape
    print(f"{pairs} cut pairs, {completions} completions a cut side, {truth.tokens:.1f} tokens each")
    print(f"true consistency: mean {truth.shares.mean():.1%}, {np.mean(truth.shares >= 0.5):.1%} of the pairs keep")
    curve: dict[str, list[dict[str, Any]]] = {}
    for family, setting, (n_max, rules) in ways(arguments.audit_least):
        found = np.array([replay(truth, n_max, rules, seed=seed) for seed in range(arguments.repeats)])
        cost, wrong = found.mean(axis=0)
        error = found[:, 1].std(ddof=1) / len(found) ** 0.5
        curve.setdefault(family, []).append(
            {"setting": setting, "completions": cost, "tokens": cost * truth.tokens, "wrong": wrong, "error": error}
        )
        print(
            f"{family:<20} {setting:<18} {cost:6.2f} completions a side, wrong {wrong:6.2%} ± {error:.2%}", flush=True
        )
    for price in PRICES:
        cost, wrong = limit(truth, price)
        curve.setdefault("limit", []).append(
            {"setting": f"{price:g}", "completions": cost, "tokens": cost * truth.tokens, "wrong": wrong, "error": 0.0}
        )
        print(
            f"{'limit, no margin':<20} {f'{price:g} wrong each':<18} {cost:6.2f} completions a side, wrong {wrong:6.2%}"
        )
    at = next(point for point in curve["fixed n"] if point["setting"] == "n = 8")
    summary = {}
    for family, points in curve.items():
        cost = cost_at(points, at["wrong"])
        if cost is None:
            print(f"{family}: never errs as little as fixed n = 8 ({at['wrong']:.2%} ± {at['error']:.2%})")
        else:
            summary[family] = cost / at["completions"]
            print(
                f"{family}: errs as fixed n = 8 ({at['wrong']:.2%} ± {at['error']:.2%}) at {summary[family]:.2f} of it"
            )
    (out / "price.json").write_text(json.dumps({"curve": curve, "price_at_n8": summary, "pairs": pairs}, indent=2))
    draw(curve, out / "price.png")


def cost_at(points: list[dict[str, Any]], wrong: float) -> float | None:
    """Completions at which a family's curve, drawn with straight lines, falls to `wrong`; None where it never does."""
    ordered = sorted(points, key=lambda point: point["completions"])
    for before, after in zip([None, *ordered], ordered, strict=False):
        if after["wrong"] <= wrong:
            if before is None:
                return float(after["completions"])
            way = (before["wrong"] - wrong) / (before["wrong"] - after["wrong"])
            return float(before["completions"] + way * (after["completions"] - before["completions"]))
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
        "limit": "#b9c2cf",
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
