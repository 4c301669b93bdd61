"""What became other between two versions, in sentences."""

from collections.abc import Iterator
from typing import Any, Final

from transforms.records.difference import Change, RateDifference, Reason, Spread, VersionDifference
from transforms.text import compact, count, duration, percent, signed

REASON_WORDS: Final[dict[Reason, str]] = {
    "data": "the data changed",
    "model": "a model changed",
    "truncation": "other tokens are kept",
    "recipe": "the recipe changed",
    "completions": "more or other completions",
    "code": "only code or packages changed",
    "unknown": "nothing recorded differs",
}
REASON_ABOUT: Final[dict[Reason, str]] = {
    "data": "A source holds other rows, texts or scores.",
    "model": "Policy, reward model or tokenizer answers otherwise.",
    "truncation": "The same responses with the same tokenizer keep other tokens.",
    "recipe": "Another rule (τ, δ, a filter), other options of a source, or completions sampled in another way.",
    "completions": "The same prefixes and models, with more or other completions: a larger n or budget, or, with a "
    "proxy or an estimator by rewards, what other pairs taught it.",
    "code": "Data, models and recipe are recorded as equal; the commit or the packages are not.",
    "unknown": "Data, models, recipe, commit and packages are recorded as equal: the cause cannot be told.",
}
CHANGE_WORDS: Final[dict[Change, str]] = {
    "verdict": "other verdict",
    "rewritten": "rewritten",
    "removed": "gone",
    "added": "new",
    "same": "unchanged",
}


def headline(found: VersionDifference) -> str:
    """The whole difference in one line."""
    old, new = found.old, found.new
    if found.equal:
        return (
            f"Equal: both are version {new.version} with the same {_pairs(new.kept)} kept and {count(_lost(found))} not"
        )
    if not found.common:
        return f"No pair in common: {_pairs(old.pairs)} of {old.name} and {_pairs(new.pairs)} of {new.name}"
    if not found.changed:
        return f"The same {_pairs(new.kept)} kept, and no verdict differs"
    change = new.kept - old.kept
    size = (
        "as many as before" if not change else f"{count(abs(change))} {'more' if change > 0 else 'fewer'} than before"
    )
    return f"{_pairs(new.kept)} kept, {size}; {_pairs(found.changed)} changed"


def sentences(found: VersionDifference) -> list[str]:
    """What happened, why, and how far the numbers moved; for people who have not seen the versions."""
    if found.equal:
        return []
    said = [*_happened(found), *_why(found), *_anew(found), *_unchanged(found), *_measured(found)]
    return [sentence for sentence in said if sentence]


def _happened(found: VersionDifference) -> Iterator[str]:
    parts = []
    if pairs := found.pairs_of("added"):
        parts.append(f"{_are(pairs)} new, of which {count(found.pairs_of('added', new='keep'))} kept")
    if pairs := found.pairs_of("removed"):
        parts.append(f"{_are(pairs)} gone, of which {count(found.pairs_of('removed', old='keep'))} had been kept")
    if pairs := found.pairs_of("rewritten"):
        parts.append(f"{_are(pairs)} rewritten: the same row of a source with another text")
    if parts:
        yield "; ".join(parts) + "."
    if pairs := found.pairs_of("verdict"):
        gained = found.pairs_of("verdict", old="drop", new="keep")
        lost = found.pairs_of("verdict", old="keep", new="drop")
        other = pairs - gained - lost
        rest = f"; {count(other)} came into or out of quarantine" if other else ""
        yield f"Of equal pairs, {count(gained)} are kept now that had been dropped, {count(lost)} the other way{rest}."


def _why(found: VersionDifference) -> Iterator[str]:
    if not found.reasons:
        return
    ranked = sorted(found.reasons, key=lambda one: -one.first)
    named = [f"{REASON_WORDS[one.reason]} ({count(one.first)})" for one in ranked if one.first]
    yield f"Why: {', '.join(named)}."
    verdicts, proven = found.pairs_of("verdict"), sum(one.proven for one in found.reasons)
    if verdicts:
        yield (
            f"{count(proven)} of {count(verdicts)} other verdicts are proven: computed anew with the other version's "
            "rules, they show what made the difference."
        )


def _anew(found: VersionDifference) -> Iterator[str]:
    """What a look at the verdicts alone hides: rules and evidence may pull in opposite directions."""
    for one, whose, rules in ((found.old_by_new_rules, "old", "new"), (found.new_by_old_rules, "new", "old")):
        if one.kept != one.kept_by_other_rules:
            yield (
                f"By the {rules} rules the {whose} evidence keeps {count(one.kept_by_other_rules)} of "
                f"{_pairs(one.known)}, by its own {count(one.kept)}."
            )


def _unchanged(found: VersionDifference) -> Iterator[str]:
    same = found.unchanged
    parts = [
        f"{count(number)} {words}"
        for number, words in (
            (same.kept_other_tokens, "keep another number of tokens"),
            (same.moved_split, "moved between splits"),
        )
        if number
    ]
    if parts:
        yield f"Of the {_pairs(same.kept)} kept in both, {' and '.join(parts)}."
    if same.dropped_other_reason:
        yield f"{_are(same.dropped_other_reason)} dropped in both, for another reason."
    if same.measured_otherwise:
        yield f"{_pairs(same.measured_otherwise)} of the same outcome got other rewards or completions."


def _measured(found: VersionDifference) -> Iterator[str]:
    for rate in found.rates:
        if rate.source == "all" and rate.reference == "label":
            yield rate_in_words(rate)
    for paired in found.paired:
        if paired.source == "all" and paired.by_label and paired.by_label.low is not None:
            mean = paired.by_label
            ends = " to ".join(signed(100 * end) for end in (mean.low, mean.high) if end is not None)
            points = signed(100 * mean.value)
            yield f"On the {_pairs(paired.measured)} measured in both it changed by {points} points ({ends})."
        if paired.source == "all" and paired.p_value is not None:
            words = "more than chance" if paired.p_value < 0.05 else "no more than chance may"
            yield (
                f"Of {_pairs(paired.judged)} judged in both, {count(paired.gained)} were gained and "
                f"{count(paired.lost)} lost: {words} makes them differ (McNemar's p: {p_in_words(paired.p_value)})."
            )
    for length in found.lengths:
        if (
            length.source == "all"
            and found.same_tokenizer
            and length.old.mean is not None
            and length.new.mean is not None
        ):
            now, before = (f"{one.mean:,.1f}" for one in (length.new, length.old))
            yield f"Kept tokens of a {length.side} response: {now} on average, before {before}."


def rate_in_words(rate: RateDifference) -> str:
    """A difference of two rates, and whether it can be told from none."""
    ends = f"{signed(100 * rate.low)} to {signed(100 * rate.high)}"
    told = "" if rate.low > 0 or rate.high < 0 else ", which cannot be told from no change"
    by = "the label" if rate.reference == "label" else "the reward model's own order"
    return (
        f"Consistency with {by} over all pairs: {percent(rate.new.rate)}, before {percent(rate.old.rate)}: "
        f"{signed(100 * rate.difference)} points ({ends}){told}."
    )


def p_in_words(p: float) -> str:
    """0.031; below a thousandth only that."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def spread_in_words(one: Spread) -> str:
    """Mean, and 10 %, median and 90 % behind it."""
    if one.mean is None:
        return "–"
    low, median, high = (
        f"{value:,.1f}".replace("-", "−") for value in (one.low, one.median, one.high) if value is not None
    )
    return f"{one.mean:,.1f}".replace("-", "−") + f" [{low}, {median}, {high}]"


def value_in_words(value: Any) -> str:
    """A setting's value; a hash by its first digits."""
    if value is None:
        return "–"
    text = str(value)
    return text[:12] + "…" if len(text) >= 32 and text.isalnum() else text


def cost_in_words(found: VersionDifference) -> list[tuple[str, str, str]]:
    """(what, old, new)."""
    rows = []
    for cost in found.costs:
        numbers = [
            ["–"] * 4
            if spend is None
            else [count(spend.generated), count(spend.reused), compact(spend.tokens_generated), duration(spend.seconds)]
            for spend in (cost.old, cost.new)
        ]
        names = ("made", "from the ledger", "tokens made", "time")
        rows += [(f"{cost.kind}, {name}", one, two) for name, one, two in zip(names, *numbers, strict=True)]
    return [*rows, ("the whole run", duration(found.seconds[0]), duration(found.seconds[1]))]


def _lost(found: VersionDifference) -> int:
    return found.new.pairs - found.new.copies - found.new.kept


def _pairs(number: int) -> str:
    return f"{count(number)} pair{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return f"{_pairs(number)} {'is' if number == 1 else 'are'}"
