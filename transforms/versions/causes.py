"""Why a pair changed between two versions: every reason that applies, and the first of them.

The reasons are the stages of a run, and where several apply the earliest comes first, because what it changed is what
the later ones worked on:

1. data: the source holds other rows, texts or scores.
2. model: policy, reward model or tokenizer answer otherwise.
3. truncation: other tokens of the same responses are kept.
4. recipe: another rule (τ, δ, filters …), other options of a source, or completions sampled in another way.
5. completions: more or other completions of the same prefixes, or a proxy that learned otherwise.
6. code: only the commit or the packages differ.
7. unknown: nothing that the manifests record differs.

For a pair with equal texts a verdict comes of evidence (what is known of the pair) and rules. Both verdicts are
computed anew with the other side's rules (transforms.versions.verdict_rules). If the new rules on the old evidence give
the new verdict, rules are a reason; if the old rules on the new evidence do, evidence is; if neither does, it took
both; if each does alone, both are named. That is a proof. Where no verdict can be computed, all that differs is named,
unproven.
"""

from dataclasses import dataclass
from typing import Final, get_args

import polars as pl

from transforms.records.difference import Reason
from transforms.records.manifest import Manifest
from transforms.versions.matched_rows import NEW, OLD
from transforms.versions.settings_changes import changed_models, setting_changes, source_options
from transforms.versions.verdict_rules import OF_RULES, VerdictRules, verdicts_by
from transforms.versions.version_rows import ROWS

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
_SAMPLED_OTHERWISE: Final = ("sampling.temperature", "sampling.top_p", "sampling.max_new_tokens", "sampling.seed")
# Rules over the rows themselves: what they drop is no verdict that evidence could be asked about.
_OVER_ROWS: Final = ("filters.contradictions", "filters.foreign_template")
_TOKENS: Final = ("chosen_tokens", "rejected_tokens", "prompt_tokens")
_KEEPS: Final = ("chosen_keep", "rejected_keep", "chosen_cut", "rejected_cut")
_REWARDS: Final = ("reward_chosen", "reward_rejected")
# Not p_keep: it is the probability that the rules ask for. What a proxy taught is in `expected`.
_COMPLETIONS: Final = ("n", "consistency", "consistency_by_reward", "expected")


@dataclass(frozen=True)
class Differences:
    """What differs between the versions as a whole.

    Attributes:
        content: labels of sources whose content differs.
        options: labels of sources whose options differ or that only one version has.
        models: of policy, reward and tokenizer.
        truncation: whether truncation is set otherwise.
        rules: whether the same evidence may get another verdict.
        over_rows: whether rules differ by which rows contradict each other or hold marks of a template.
        sampling: whether completions were sampled in another way.
        code: whether commit or packages differ.
    """

    content: frozenset[str]
    options: frozenset[str]
    models: frozenset[str]
    truncation: bool
    rules: bool
    over_rows: bool
    sampling: bool
    code: bool

    @classmethod
    def of(cls, old: Manifest, new: Manifest) -> "Differences":
        """Between two manifests."""
        prints = [{one.label: one.fingerprint for one in manifest.sources} for manifest in (old, new)]
        options = [source_options(old), source_options(new)]
        labels = set(prints[0]) | set(prints[1])
        changes = setting_changes(old, new)
        rules = [VerdictRules.of(manifest.config) for manifest in (old, new)]
        return cls(
            content=frozenset(x for x in labels if x in prints[0] and x in prints[1] and prints[0][x] != prints[1][x]),
            options=frozenset(x for x in labels if options[0].get(x) != options[1].get(x)),
            models=frozenset(changed_models(old, new)),
            truncation=any(one.kind == "truncation" for one in changes),
            rules=rules[0] != rules[1] or (rules[0] is None and any(one.kind == "recipe" for one in changes)),
            over_rows=any(one.key in _OVER_ROWS for one in changes),
            sampling=any(one.key in _SAMPLED_OTHERWISE for one in changes),
            code=any(one.kind == "code" for one in changes),
        )


def with_causes(matched: pl.DataFrame, old: Manifest, new: Manifest) -> pl.DataFrame:
    """Add why each changed pair changed.

    Args:
        matched: of `matched_rows.match_rows`.
        old: manifest of the old version.
        new: of the new one.

    Returns:
        The same rows with `first` (Reason, null where nothing changed), `reasons` (all that apply, by precedence),
        `proven`, and the two verdicts computed anew, `old_by_new_rules` and `new_by_old_rules` (null: not known).
    """
    differences = Differences.of(old, new)
    frame = matched.with_columns(**_anew(matched, VerdictRules.of(old.config), VerdictRules.of(new.config)))
    quarantined = pl.any_horizontal(*(pl.col(f"outcome{side}") == "quarantine" for side in (OLD, NEW)))
    other_verdict = pl.col("change") == "verdict"
    of_verdicts, of_rows, of_stages = (
        _verdict_reasons(differences),
        _row_reasons(differences),
        _quarantine_reasons(differences),
    )
    nothing = pl.lit(False)
    flags = {
        f"_{reason}": pl.when(pl.col("change") == "same")
        .then(nothing)
        .when(other_verdict & quarantined.fill_null(False))
        .then(of_stages.get(reason, nothing))
        .when(other_verdict)
        .then(of_verdicts.get(reason, nothing))
        .otherwise(of_rows.get(reason, nothing))
        .fill_null(False)
        for reason in REASONS[:-2]
    }
    frame = frame.with_columns(**flags)
    explained = pl.any_horizontal(*flags)
    changed = pl.col("change") != "same"
    last = "code" if differences.code else "unknown"
    named = [pl.when(pl.col(f"_{reason}")).then(pl.lit(reason)) for reason in REASONS[:-2]]
    fallback = pl.when(changed & ~explained).then(pl.lit(last))
    return frame.with_columns(
        first=pl.coalesce(*named, fallback),
        reasons=pl.concat_list(*named, fallback).list.drop_nulls(),
        proven=other_verdict & _proof() & explained,
    ).drop(*flags)


def _anew(matched: pl.DataFrame, old: VerdictRules | None, new: VerdictRules | None) -> dict[str, pl.Series]:
    """Each side's evidence judged by the other side's rules, where its own verdict comes out right by its own rules."""
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, matched.height)
    if old is None or new is None:
        return {"old_by_new_rules": nothing, "new_by_old_rules": nothing}
    found = {}
    for name, side, mine, other in (("old_by_new_rules", OLD, old, new), ("new_by_old_rules", NEW, new, old)):
        rows = matched.select(pl.col(f"{column}{side}").alias(column) for column in ROWS)
        answers = pl.DataFrame({"own": verdicts_by(rows, mine, mine), "other": verdicts_by(rows, mine, other)})
        right = answers["own"] == rows["outcome"]
        judged = matched.select(
            pl.col("change").is_in(["verdict", "same"])
            & pl.all_horizontal(*(pl.col(f"outcome{at}") != "quarantine" for at in (OLD, NEW)))
        ).to_series()
        found[name] = answers.select(pl.when(right & judged).then("other"))["other"]
    return found


def _proof() -> pl.Expr:
    """Whether rules or evidence were shown to have made the verdict."""
    return _rules_do().is_not_null() | _evidence_does().is_not_null()


def _rules_do() -> pl.Expr:
    """Whether the new rules alone give the new verdict; null where that is not known."""
    return pl.col("old_by_new_rules") == pl.col(f"outcome{NEW}")


def _evidence_does() -> pl.Expr:
    """Whether the new evidence alone gives the new verdict; null where that is not known."""
    return pl.col("new_by_old_rules") == pl.col(f"outcome{NEW}")


def _verdict_reasons(differences: Differences) -> dict[str, pl.Expr]:
    """Of pairs with equal texts and another outcome."""
    rules, evidence = _rules_do(), _evidence_does()
    # What one side alone does not do needs the other.
    of_rules = rules.fill_null(False) | (~evidence).fill_null(False)
    # Unknown is as good as both, but a side that is proven to be enough needs no suspect beside it.
    of_evidence = evidence.fill_null(False) | (~rules).fill_null(False)
    unknown = rules.is_null() & evidence.is_null()
    facts = of_evidence | unknown
    structural = _differ("_fixed")
    other_data = structural & pl.lit(bool(differences.content)) | _differ("chosen_score") | _differ("rejected_score")
    other_options = structural & pl.lit(bool(differences.options) or differences.over_rows)
    other_tokens = _any_differ(_TOKENS) | _any_differ(_KEEPS)
    answered = _any_differ(_REWARDS) | _any_differ(_COMPLETIONS)
    same_tokens = pl.lit("tokenizer" not in differences.models)
    model = (~same_tokens & other_tokens) | (
        pl.lit(bool(differences.models - {"tokenizer"})) & answered & _judged_twice()
    )
    truncation = same_tokens & (_any_differ(_KEEPS) | _differ("_identical"))
    sampled = pl.lit(differences.sampling) & _any_differ(_COMPLETIONS) & _judged_twice()
    suspected = unknown & pl.lit(differences.rules)
    completions = _any_differ(_COMPLETIONS) & _judged_twice() & ~model & ~truncation & ~sampled
    return {
        "data": facts & other_data,
        "model": facts & model,
        "truncation": facts & truncation,
        "recipe": of_rules | (facts & (other_options | sampled)) | suspected,
        "completions": facts & completions,
    }


def _row_reasons(differences: Differences) -> dict[str, pl.Expr]:
    """Of pairs whose texts only one version has."""
    label = pl.coalesce(f"source{NEW}", f"source{OLD}")
    return {
        "data": label.is_in(sorted(differences.content)),
        "recipe": label.is_in(sorted(differences.options)),
    }


def _quarantine_reasons(differences: Differences) -> dict[str, pl.Expr]:
    """Of rows that one version could not use; what became of them is no verdict, so nothing can be computed anew."""
    stage = pl.coalesce(
        *(pl.when(pl.col(f"outcome{x}") == "quarantine").then(pl.col(f"reason{x}")) for x in (OLD, NEW))
    )
    of_rows = _row_reasons(differences)
    return {
        **of_rows,
        "recipe": of_rows["recipe"] | (pl.lit(differences.over_rows) & (stage == "load")),
        "model": pl.lit(bool(differences.models)) & (stage != "load"),
        "truncation": pl.lit(differences.truncation) & (stage == "tokenise"),
    }


def _judged_twice() -> pl.Expr:
    """Whether both versions have evidence of models, so that it can differ."""
    return pl.col(f"decided_by{OLD}").is_not_null() & pl.col(f"decided_by{NEW}").is_not_null()


def _any_differ(names: tuple[str, ...]) -> pl.Expr:
    return pl.any_horizontal(*(_differ(name) for name in names))


def _differ(name: str) -> pl.Expr:
    return _side(name, OLD).ne_missing(_side(name, NEW))


def _side(name: str, side: str) -> pl.Expr:
    """A column of one side; `_fixed` is a reason that no rule gives, `_identical` that the cut left no pair."""
    reason = pl.col(f"reason{side}")
    if name == "_fixed":
        of_the_data = reason.is_not_null() & ~reason.is_in([*OF_RULES, "identical_after_cut"])
        return pl.when(of_the_data).then(reason)
    return (reason == "identical_after_cut").fill_null(False) if name == "_identical" else pl.col(f"{name}{side}")
