"""What trackers are told of a curation: its funnel, rates, cost and rounds."""

from typing import Final

from flows.runtime.trackers import Figures, Tracked, flat, spend_figures
from transforms.records.manifest import Manifest, RoundRecord

# Whole sections of the recipe; of the others only what is named, because the rest may be somebody's address.
_SECTIONS: Final = ("truncate", "sampling", "consistency", "proxy", "budget", "filters")
_OF_A_MODEL: Final = ("name", "revision", "dtype", "engine", "quantization")


def tracked(manifest: Manifest) -> Tracked:
    """A finished curation as trackers are told of it."""
    return Tracked(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        settings=_settings(manifest),
        figures=_figures(manifest),
        steps=[_round(one) for one in manifest.rounds],
    )


def _settings(manifest: Manifest) -> dict[str, str | float]:
    found: dict[str, str | float] = {"made_by": "curate", "version": manifest.version}
    found["fingerprint"] = manifest.fingerprint
    for section in _SECTIONS:
        found |= flat(section, manifest.config.get(section))
    for role, model in (("policy", manifest.policy), ("reward", manifest.reward)):
        if model is not None:
            found |= flat(role, {name: getattr(model, name) for name in _OF_A_MODEL})
    return found


def _figures(manifest: Manifest) -> dict[str, float]:
    counts = manifest.counts
    found: dict[str, float] = {
        "pairs/raw_rows": counts.raw_rows,
        "pairs/in": counts.pairs,
        "pairs/kept": counts.kept,
        "pairs/quarantined": counts.quarantined,
        **{f"pairs/dropped/{reason}": rows for reason, rows in counts.dropped.items()},
        **{f"pairs/split/{split}": rows for split, rows in counts.splits.items()},
    }
    if counts.pairs:
        found["pairs/kept_share"] = counts.kept / counts.pairs
    for stage in counts.stages:
        found |= {
            f"stages/{stage.stage}/rows_in": stage.rows_in,
            f"stages/{stage.stage}/rows_out": stage.rows_out,
            f"stages/{stage.stage}/quarantined": stage.quarantined,
            **{f"stages/{stage.stage}/dropped/{reason}": rows for reason, rows in stage.dropped.items()},
        }
    for rate in manifest.consistency:
        prefix = f"consistency/{rate.source}/{rate.reference}"
        found |= {f"{prefix}/rate": rate.rate, f"{prefix}/low": rate.low, f"{prefix}/high": rate.high}
        found |= {f"{prefix}/flips": 1 - rate.rate, f"{prefix}/sampled": rate.sampled}
    return found | _cost(manifest)


def _cost(manifest: Manifest) -> dict[str, float]:
    tokens, generated = manifest.tokens, manifest.generated
    found: dict[str, float] = {
        "tokens/before": tokens.chosen_before + tokens.rejected_before,
        "tokens/after": tokens.chosen_after + tokens.rejected_after,
        **{f"seconds/{stage}": seconds for stage, seconds in manifest.seconds.items()},
    }
    accounts = {"completions": manifest.completions, "rewards": manifest.scores}
    if generated:
        accounts |= {"generated/completions": generated.completions, "generated/rewards": generated.scores}
    paid = {name: spend for name, spend in accounts.items() if spend}
    for name, spend in paid.items():
        found |= spend_figures(name, spend)
    # What a run costs is the time of its engines.
    found["cost/engine_seconds"] = sum(spend.seconds for spend in paid.values())
    return found


def _round(one: RoundRecord) -> Figures:
    """Under the stage's name: the audit's rounds come first and are about other pairs."""
    names = ("pairs", "completions", "tokens", "keep", "drop", "open")
    return {f"rounds/{one.stage}/{name}": getattr(one, name) for name in names}
