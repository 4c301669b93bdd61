"""audit.html from an audit: what truncating would keep of a dataset's order, said before anyone trains on it."""

from typing import Final

from transforms.audit.advice import values_in_words
from transforms.audit.published_rates import LOWEST, points_in_words
from transforms.records.audit import Audit, MethodAudit
from transforms.records.manifest import ShareRecord
from transforms.report.curves import position_plot, quality_plot
from transforms.report.decided import Piece, Stack
from transforms.report.environment import render
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale
from transforms.text import count, interval, percent

# The style of a verdict's badge. None is that of what is bad: no verdict says that a cut hurts.
BADGES: Final = {"supported": "keep", "undecided": "unclear", "unsupported": "unknown"}


def render_audit(audit: Audit) -> str:
    """One HTML page that needs no network and runs no script; every number on it is the audit's."""
    qualities = (
        quality_plot(audit.quality_by_tokens, "tokens"),
        quality_plot(audit.quality_by_ratio, "ratio"),
        quality_plot(audit.values_by_tokens, "tokens", read=True),
    )
    positions = (position_plot(audit.positions, "entropy"), position_plot(audit.positions, "log_prob"))
    page = {
        "audit": audit,
        "recommended": next((method for method in audit.methods if method.name == audit.recommended), None),
        "badges": BADGES,
        "lowest": LOWEST,
        "forest": audit_forest(audit) if audit.methods else None,
        "qualities": [plot for plot in qualities if plot],
        "positions": [plot for plot in positions if plot],
        "values": values_in_words(audit.values_agree) if audit.values_agree else "",
        "spent": _spent(audit.methods),
    }
    return render("audit.html.j2", page)


def audit_forest(audit: Audit) -> Forest:
    """Two estimates a method, then the agreement before any cut, then the published rates."""
    measured = [audit.reward_agrees, *(share for method in audit.methods for share in _shares(method))]
    lowest = min([share.low for share in measured] + [row.rate for row in audit.published] + [0.9])
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), 1.0)
    rows = []
    for method in audit.methods:
        rows.append(_row(method.name, True, "against the label", method.consistency, scale))
        rows.append(_row(method.name, False, "against the reward model", method.by_reward, scale))
    agrees = _row("Before any cut", True, "reward model and label agree", audit.reward_agrees, scale)
    rows.append(agrees._replace(kind="agrees"))
    for at, published in enumerate(audit.published):
        place = scale.at(published.rate)
        text, note = percent(published.rate), points_in_words(published)
        rows.append(ForestRow("Published", at == 0, published.data, "published", place, place, place, text, note))
    return Forest(rows, scale.ticks(5, percent=True), scale.at(LOWEST))


def _shares(method: MethodAudit) -> tuple[ShareRecord, ShareRecord]:
    return method.consistency, method.by_reward


def _row(group: str, first: bool, name: str, share: ShareRecord, scale: Scale) -> ForestRow:
    return ForestRow(
        group=group,
        first=first,
        name=name,
        kind="reward" if name.endswith("reward model") else "label",
        at=scale.at(share.value),
        low=scale.at(share.low),
        high=scale.at(share.high),
        text=interval(share.value, share.low, share.high),
        note="",
    )


def _spent(methods: list[MethodAudit]) -> list[Stack]:
    """A bar of completions for each method that needed any."""
    scale = Scale(0, max([1, *(method.completions for method in methods)]))
    return [
        Stack(method.name, [Piece("spent", 0.0, scale.at(method.completions))], count(method.completions), "")
        for method in methods
        if method.completions
    ]
