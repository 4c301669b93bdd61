"""How well does a reward model order full responses that was trained on their beginnings?

    python benchmarks/reward_by_ratio.py --data FILE --policy smollm2 --out runs/reward-by-ratio

Shallow Preference Signals, Table 1, on pairs of `alpacaeval_responses.parquet` (instruction, category, model,
response, win_prob): reward heads on a frozen policy, trained at kept ratios 1, 0.5, 0.4, 0.33, 0.25 and on POET's
pairs, all evaluated on the same full responses to other prompts. A causal model's state has seen no later token, so
one reading of each response gives the features of all its prefixes. The fit of a head is convex and has no luck of its
own: what a seed changes is the training prompts, drawn with replacement. Prints the table, writes table and figure.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    import torch

    from trainers.reading.examples import Example

WHOLE = "1"
KEPT: dict[str, Any] = {WHOLE: "full", "0.5": 0.5, "0.4": 0.4, "0.33": 0.33, "0.25": 0.25, "POET": "poet"}
# RewardBench at the first five (Shallow Preference Signals, Table 1: gemma-2b-it, all weights trained).
PUBLISHED = {
    "Skywork-80K": (75.85, 75.88, 76.35, 70.00, 69.92),
    "UltraFeedback": (73.91, 73.27, 71.94, 70.18, 63.55),
    "RLHFlow": (65.96, 72.16, 69.71, 62.44, 55.62),
    "SHP": (70.08, 70.56, 69.89, 68.82, 67.12),
}
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Prefixes(NamedTuple):
    """What has to be read, once, and where the features of each pair's sides will lie."""

    sequences: list[npt.NDArray[np.int32]]  # prompt and whole response, each distinct one once
    lengths: list[list[int]]  # of the prefixes that are wanted of each
    rows: dict[str, Rows]  # name → (2, pairs), of chosen and rejected in the features


class Pairs(NamedTuple):
    """Pairs of one half."""

    prompts: list[str]  # that each belongs to
    categories: list[str]
    examples: dict[str, list["Example"]]  # by what is kept; under WHOLE the whole responses
    share: dict[str, float]  # of the response tokens that are kept


def read_pairs(table: Any, kept: Mapping[str, Any], *, context: int) -> Pairs:
    """Tokenised pairs with every truncation's keeps."""
    from flows.train.pairs import with_kept
    from trainers.reading.examples import read_examples

    examples = {
        name: read_examples(with_kept(table, rule, max_length=context, where=name).table, where=name)
        for name, rule in kept.items()
    }
    tokens = {name: sum(example.kept_tokens for example in some) for name, some in examples.items()}
    prompts = [str(pair)[:16] for pair in table["pair_id"].to_pylist()]  # the prompt's hash
    share = {name: count / tokens[WHOLE] for name, count in tokens.items()}
    return Pairs(prompts, table["source"].to_pylist(), examples, share)


def index_prefixes(whole: Sequence["Example"], kept: Mapping[str, Sequence["Example"]]) -> Prefixes:
    """Distinct sequences and prefixes of pairs.

    Args:
        whole: the pairs with their whole responses.
        kept: the same pairs in the same order, cut, by name.
    """
    sequences: dict[bytes, npt.NDArray[np.int32]] = {}
    wanted: dict[bytes, dict[int, int]] = {}
    keys = []
    for pair in whole:
        for response in pair.responses:
            ids = np.concatenate([pair.prompt, response])
            keys.append(ids.tobytes())
            sequences.setdefault(keys[-1], ids)
    for cut in kept.values():
        for key, length in zip(keys, _lengths(cut), strict=True):
            wanted.setdefault(key, {})[length] = 0
    # Numbered as prefix_features returns them: sequence by sequence.
    numbers = iter(range(sum(map(len, wanted.values()))))
    places = {key: {length: next(numbers) for length in wanted[key]} for key in sequences}
    rows = {
        name: np.array([places[key][length] for key, length in zip(keys, _lengths(cut), strict=True)]).reshape(-1, 2).T
        for name, cut in kept.items()
    }
    return Prefixes(list(sequences.values()), [list(places[key]) for key in sequences], rows)


def _lengths(pairs: Sequence["Example"]) -> list[int]:
    return [len(pair.prompt) + len(response) for pair in pairs for response in pair.responses]


def resample(prompts: Sequence[str], seed: int) -> Rows:
    """Rows of the pairs of as many prompts as there are, drawn with replacement."""
    names, place = np.unique(np.asarray(prompts), return_inverse=True)
    drawn = np.random.default_rng(seed).integers(len(names), size=len(names))
    return np.concatenate([np.flatnonzero(place == prompt) for prompt in drawn])


def fit(features: "torch.Tensor", rows: Rows, prompts: Sequence[str], *, seed: int) -> "torch.Tensor":
    """The reward head of one draw of the training prompts, (hidden,).

    Args:
        features: of all prefixes.
        rows: (2, pairs), of the training pairs in the features.
        prompts: of the training pairs.
        seed: of the draw and of the folds that choose the penalty.
    """
    from trainers.reading.pair_tokens import PairTokens
    from trainers.rewards.head import fit_head, folds_by_prompt
    from trainers.steps.settings import HeadOnly

    drawn = resample(prompts, seed)
    used, sides = np.unique(rows[:, drawn], return_inverse=True)
    chosen, rejected = sides.reshape(2, -1)
    names = tuple(prompts[row] for row in drawn)
    pairs = PairTokens(names, names, (), chosen, rejected, None, None, "")
    settings = HeadOnly()
    folds = folds_by_prompt(names, settings.folds, seed)
    return fit_head(features[used], pairs, folds=folds, weight_decays=settings.weight_decays, centring=0.0).weight


def evaluate(correct: Mapping[str, Floats], pairs: Pairs) -> dict[str, Any]:
    """Accuracies of every truncation with intervals over prompts, and paired differences from whole responses.

    Args:
        correct: (seeds, test pairs) by what was kept; 1, 0, or one half for a tie.
        pairs: the test pairs.
    """
    from transforms.statistics.clustered import clustered_mean, clustered_share

    groups = {name: np.array(pairs.categories) == name for name in sorted(set(pairs.categories))}
    groups["all"] = np.ones(len(pairs.prompts), bool)
    found: dict[str, Any] = {"pairs": {name: int(mine.sum()) for name, mine in groups.items()}}
    for name, values in correct.items():
        by_pair = values.mean(axis=0)
        accuracy = {}
        for group, mine in groups.items():
            prompts = [pairs.prompts[row] for row in np.flatnonzero(mine)]
            accuracy[group] = clustered_share(by_pair[mine], prompts)._asdict()
        found[name] = {
            "accuracy": accuracy,
            "seeds": values.mean(axis=1).tolist(),
            "against_whole": clustered_mean(by_pair - correct[WHOLE].mean(axis=0), pairs.prompts).model_dump(),
        }
    return found


def table(found: Mapping[str, Any], share: Mapping[str, float]) -> str:
    """The paper's Table 1: a row a group of test pairs, a column a kept ratio; then how sure the last row is."""
    names = list(share)

    def line(title: str, cells: Sequence[str]) -> str:
        return f"{title:<26}" + "".join(f"{cell:>16}" for cell in cells)

    def within(one: Mapping[str, float], form: str) -> str:
        return f"[{100 * one['low']:{form}}, {100 * one['high']:{form}}]"

    lines = [line("trained on", names), line("response tokens, %", [f"{100 * share[name]:.1f}" for name in names])]
    for group, pairs in found["pairs"].items():
        values = [found[name]["accuracy"][group]["value"] for name in names]
        lines.append(line(f"{group} ({pairs:,} pairs)", [f"{100 * value:.1f}" for value in values]))
    everything = [found[name]["accuracy"]["all"] for name in names]
    spread = [100 * float(np.std(found[name]["seeds"], ddof=1)) for name in names]
    against = [found[name]["against_whole"] for name in names[1:]]
    lines += [
        line("  95 % over prompts", [within(one, ".1f") for one in everything]),
        line("  deviation over seeds", [f"±{value:.1f}" for value in spread]),
        line("  against whole", ["", *(f"{100 * one['value']:+.1f}" for one in against)]),
        line("  95 % over prompts", ["", *(within(one, "+.1f") for one in against)]),
        "",
        "published, RewardBench:",
        *(line(f"  {name}", [f"{value:.2f}" for value in values]) for name, values in PUBLISHED.items()),
    ]
    return "\n".join(lines)


def draw_figure(found: Mapping[str, Any], share: Mapping[str, float], path: Path) -> None:
    """Accuracy on full responses against the share of the tokens that training saw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    ratios = [name for name in share if name != "POET"]
    for label, names, colour in (("kept ratio", ratios, "#2b6cb0"), ("POET", ["POET"], "#d9822b")):
        x = np.array([100 * share[name] for name in names])
        rates = [found[name]["accuracy"]["all"] for name in names]
        value, low, high = (100 * np.array([rate[key] for rate in rates]) for key in ("value", "low", "high"))
        axes.errorbar(x, value, [value - low, high - value], marker="o", capsize=3, color=colour, label=label)
        seeds = 100 * np.array([found[name]["seeds"] for name in names])
        axes.scatter(np.repeat(x, seeds.shape[1]), seeds.ravel(), s=9, color=colour, alpha=0.5)
    axes.axhline(50, color="#7a8599", linewidth=0.8, linestyle=":")
    axes.set_xlabel("response tokens trained on, %")
    axes.set_ylabel("accuracy on full responses, %")
    axes.legend(frameon=False)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    figure.savefig(path, dpi=130)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read every response once, fit all heads, evaluate them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import torch

    from benchmarks.real_data import draw
    from trainers.rewards.checkpoint import open_policy
    from trainers.rewards.features import prefix_features
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.models import resolve_model
    from transforms.engines.tokenizer import load_tokenizer
    from transforms.preparation.prepare import prepare
    from transforms.preparation.truncation import Truncation
    from transforms.tables.schema import PAIRS

    policy = resolve_model(arguments.policy, engine="transformers", dtype="bfloat16")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    opened = open_policy(policy.location, policy.revision, dtype=torch.bfloat16, device=device)
    chat = ChatTokens(load_tokenizer(policy.location, policy.revision))
    halves = {}
    for half, rows in draw(arguments.data, set(), prompts=arguments.prompts, per_prompt=arguments.per_prompt).items():
        made = prepare(pa.Table.from_pylist(rows, schema=PAIRS), chat, Truncation(method="none"), max_length=None).pairs
        usable = made.filter(pc.is_null(made["reason"]))
        kept = KEPT if half == "train" else {WHOLE: KEPT[WHOLE]}
        halves[half] = read_pairs(usable, kept, context=opened.context)
    train, test = halves["train"], halves["test"]
    start = time.monotonic()
    indexed = {half: index_prefixes(pairs.examples[WHOLE], pairs.examples) for half, pairs in halves.items()}
    tokens = sum(len(ids) for part in indexed.values() for ids in part.sequences)
    counts = f"{len(train.prompts):,} training and {len(test.prompts):,} test pairs"
    print(f"{counts}, {tokens:,} tokens to read", flush=True)
    options = {"device": device, "batch_tokens": arguments.batch_tokens, "progress": Told()}
    features = {
        half: prefix_features(opened.backbone, part.sequences, part.lengths, stage=half, **options)
        for half, part in indexed.items()
    }
    read = time.monotonic()
    chosen, rejected = (features["test"][torch.from_numpy(side)] for side in indexed["test"].rows[WHOLE])
    correct: dict[str, Floats] = {}
    for name in KEPT:
        rows = indexed["train"].rows[name]
        heads = [fit(features["train"], rows, train.prompts, seed=seed) for seed in range(arguments.seeds)]
        margins = torch.stack([(chosen - rejected) @ head for head in heads]).double().numpy()
        correct[name] = np.heaviside(margins, 0.5)
    seconds = {"read": read - start, "fit": time.monotonic() - read}
    data = {"policy": policy.identity.fingerprint, "train_pairs": len(train.prompts), "tokens": tokens}
    return {"share": train.share, "seconds": seconds, **data, **evaluate(correct, test)}


class Told:
    """Prints how far reading is, every twenty seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last > 20:
            self._last = now
            print(f"{stage}: {done:,} of {total:,} tokens, {now - self._start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="alpacaeval_responses.parquet")
    parser.add_argument("--policy", default="smollm2", help="folder, hub id or smollm2; the heads stand on it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=240, help="to train on; half as many others to test on")
    parser.add_argument("--per-prompt", type=int, default=4, help="responses of a prompt; all pairs of them are made")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    arguments = parser.parse_args()
    found = run(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "reward_by_ratio.json").write_text(json.dumps(found, indent=2) + "\n")
    draw_figure(found, found["share"], arguments.out / "reward_by_ratio.png")
    print(table(found, found["share"]))
    read, fitted = found["seconds"].values()
    print(f"read {read:.0f} s, {found['tokens'] / read:,.0f} tokens/s, fitted {fitted:.0f} s")


if __name__ == "__main__":
    main()
