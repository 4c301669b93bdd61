"""What a comparison allows to say, in sentences: never more than its intervals do."""

from typing import Final

from transforms.records.comparison import Budget, Comparison, Standing, VariantRecord, Verdict
from transforms.report.answers import ends_apart
from transforms.statistics.intervals import MeanRecord
from transforms.text import count, duration, interval, percent, signed

AT: Final[dict[Budget, str]] = {"steps": "at equal steps", "tokens": "at equal tokens"}
CURATED: Final = "curated"
_SAID: Final[dict[Verdict, str]] = {
    "higher": "more accurate",
    "lower": "less accurate",
    "unclear": "no difference shown",
}


def headline(found: Comparison) -> str:
    """The answer for curated data where it is under comparison, else for all variants."""
    first = found.first
    if not found.comparisons:
        return f"Nothing can be held against {first}"
    if CURATED not in [variant.name for variant in found.variants[1:]]:
        differ = {one.variant for one in found.standings if one.difference and one.difference.verdict != "unclear"}
        others = len(found.variants) - 1
        if not differ:
            return f"No difference from {first} could be shown"
        return f"{len(differ)} of {others} versions differ from {first}"
    verdicts = {budget: _verdict(found, budget) for budget in found.budgets}
    if set(verdicts.values()) == {"unclear"}:
        return f"No difference between {CURATED} and {first} data could be shown"
    verdict: Verdict
    for verdict in ("higher", "lower"):
        if set(verdicts.values()) == {verdict}:
            return f"{CURATED.capitalize()} data trained {_SAID[verdict]} models than {first} data"
    parts = [f"{_SAID[verdict] if verdict else 'no result'} {AT[budget]}" for budget, verdict in verdicts.items()]
    return f"{CURATED.capitalize()} against {first} data: {', '.join(parts)}"


def difference_in_words(one: Standing, first: str) -> str:
    """What the interval of a difference in accuracy says, and what it does not."""
    if one.difference is None:
        return f"No training of {first} ended with the same seed, so nothing can be said."
    accuracy = one.difference.accuracy
    if accuracy.low is None or accuracy.high is None:
        return f"{points(accuracy)} points in a single training: how far another seed would be off is not known."
    low, high = (signed(100 * end) for end in (accuracy.low, accuracy.high))
    if one.difference.verdict == "unclear":
        return (
            f"Not distinguishable from {first}: {signed(100 * accuracy.value)} points were measured, and everything "
            f"between {low} and {high} points fits these trainings."
        )
    more = "More" if one.difference.verdict == "higher" else "Fewer"
    return (
        f"{more} pairs ordered as labelled than with {first}: {signed(100 * accuracy.value)} points, somewhere "
        f"between {low} and {high}."
    )


def variant_in_words(variant: VariantRecord, cut: str) -> str:
    """Which pairs, and how much of their responses.

    Args:
        variant: one of a comparison's.
        cut: what the run's own truncation does.
    """
    if variant.pairs == "kept":
        return f"Only the pairs that curation kept; {cut}."
    if variant.kept == "full":
        return "All pairs, before any was dropped for what the cut does to it; responses whole."
    if variant.kept == "poet":
        return "The same pairs as raw; both responses are cut to the length of the shorter one."
    return f"The same pairs as raw; of each response the first {percent(float(variant.kept), 0)}."


def budget_in_words(found: Comparison, budget: Budget) -> str:
    """What was held equal, and what was not."""
    pairs = found.training["optimisation"]["pairs_per_step"]
    if budget == "steps":
        steps = next((one.steps for one in found.standings if one.budget == "steps"), None)
        many = "the same number of steps" if steps is None else f"{steps:,.0f} steps"
        return (
            f"Every version was trained for {many} of {pairs} pairs. Cut answers are shorter, so the versions that cut "
            "have read fewer tokens, and trained for less time."
        )
    return (
        f"Every version was trained for as many steps of {pairs} pairs as bring it nearest to the tokens that "
        f"{found.first} had read (off by half a step at most). Versions that cut have seen more pairs, or the same "
        "pairs more often."
    )


def caveats(found: Comparison) -> list[str]:
    """What the numbers do not say."""
    test, seeds = found.test, found.config["seeds"]
    judged = (
        "gained more probability by training than the rejected one (its implicit reward is higher)"
        if found.judge != "reward"
        else "gets the higher reward"
    )
    said = [
        f"Accuracy is the share of held-out pairs whose chosen response {judged}. It says how well a model orders "
        "responses as the labels do, not how good the responses are that it writes.",
        f"The labels are the dataset's own. {count(test.dropped)} of the {count(test.pairs)} held-out pairs are ones "
        "that curation would drop; they stay, because a test without them would be curated itself.",
        f"Intervals cover the luck of {seeds} seeds and of {count(test.prompts)} prompts together, for this data, this "
        "model and this recipe. Another model may answer otherwise.",
        "All versions share one recipe: learning rate, schedule and objective were not tuned for any of them, and a "
        "version may do better with its own.",
    ]
    if found.comparisons > 1:
        said.append(
            f"There are {found.comparisons} differences here, each with a 95\u00a0% interval of its own. If none were "
            "real, one in twenty would still look as if it were."
        )
    if smallest := undetectable(found):
        size = f"{smallest:.1f} points"
        said.append(f"A comparison of this size could not have told a difference of less than {size} from none.")
    if seeds == 2:
        said.append("Two seeds say little of how seeds differ: with five, intervals are a third as wide or less.")
    if repeated := sorted({one.variant for one in found.standings if one.passes > 1}):
        said.append(f"The steps go round the data more than once for {', '.join(repeated)}.")
    return said + _of_the_answers(found) + _of_the_test(found)


def _of_the_answers(found: Comparison) -> list[str]:
    written = found.answers
    if written is None or not written.standings or not written.baseline.responses:
        return []
    shares = {(written.baseline.label, written.baseline.ended): None}
    for one in written.standings:
        name = one.variant if len(found.budgets) == 1 else f"{one.variant} {AT[one.budget]}"
        shares[name, one.ended] = None
    apart = ends_apart(list(shares))
    return [apart] if apart else []


def _of_the_test(found: Comparison) -> list[str]:
    test, said = found.test, []
    if test.cut_by_context:
        responses = count(test.cut_by_context)
        said.append(f"{responses} held-out responses are longer than the model reads; it saw their beginning.")
    if test.unread:
        said.append(f"{count(test.unread)} held-out pairs are left out because some model could not read them.")
    if test.left_out:
        said.append(
            f"{count(test.left_out)} held-out pairs are left out because their prompt is, to the model, one that was "
            "trained on."
        )
    return said


def undetectable(found: Comparison) -> float | None:
    """Half the narrowest interval of a difference in accuracy, in points; None without one."""
    halves = [
        50 * (accuracy.high - accuracy.low)
        for one in found.standings
        if one.difference
        for accuracy in [one.difference.accuracy]
        if accuracy.low is not None and accuracy.high is not None
    ]
    return min(halves, default=None)


def share(mean: MeanRecord) -> str:
    """91.4 % [89.0, 93.3], or the share alone."""
    if mean.low is None or mean.high is None:
        return percent(mean.value)
    return interval(mean.value, mean.low, mean.high)


def points(mean: MeanRecord) -> str:
    """+2.0 [−0.4, +4.4] percentage points."""
    if mean.low is None or mean.high is None:
        return signed(100 * mean.value)
    return f"{signed(100 * mean.value)} [{signed(100 * mean.low)},\u00a0{signed(100 * mean.high)}]"


def focus(found: Comparison) -> Standing | None:
    """What the page shows first: curated data at the first budget with a difference, else the last variant there."""
    for budget in found.budgets:
        there = {one.variant: one for one in found.standings if one.budget == budget and one.difference}
        if there:
            return there.get(CURATED) or list(there.values())[-1]
    return None


def time_in_words(found: Comparison) -> str:
    """Of all trainings and judgements, whichever run paid for them."""
    return duration(sum(one.seconds or 0.0 for one in found.trainings))


def _verdict(found: Comparison, budget: Budget) -> Verdict | None:
    one = found.standing(budget, CURATED)
    return one.difference.verdict if one and one.difference else None
