"""Text of datasets and models made visible and harmless, and numbers made readable.

Everything shown here was written by strangers. Escaping for HTML is jinja's autoescape; this file handles
what HTML escaping leaves alone: control characters, bidirectional overrides that reorder a line, invisible
characters that hide instructions, and lone surrogates that no UTF-8 file can hold.
"""

import re
from typing import Final, NamedTuple

from markupsafe import Markup, escape

# C0 and C1 controls without tab and newline; soft hyphen; Arabic letter mark; Mongolian vowel separator;
# zero-width space; directional marks, embeddings, overrides and isolates; line and paragraph separators;
# invisible operators; the BOM; interlinear annotation; surrogates; tag characters; noncharacters. The
# zero-width joiner and non-joiner stay: Persian, Hindi and emoji are spelled with them.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
NBSP: Final = "\u00a0"


class Segment(NamedTuple):
    """A stretch of text, with its middle left out where it is too long to read."""

    head: str
    hidden: int  # characters left out
    tail: str


def code_point(match: re.Match[str]) -> str:
    """`U+202E` for the matched character."""
    return f"U+{ord(match.group()):04X}"


def visible(text: str) -> Markup:
    """HTML of `text` in which characters that cannot be seen appear as their code points."""
    return Markup("").join(
        Markup('<span class="esc">{}</span>').format(piece) if at % 2 else escape(piece)
        for at, piece in enumerate(_split_unseen(text))
    )


def visible_plain(text: str) -> str:
    """`text` with characters that cannot be seen as `[U+202E]`, for places without markup."""
    return _UNSEEN.sub(lambda match: f"[{code_point(match)}]", text.replace("\r\n", "\n"))


def _split_unseen(text: str) -> list[str]:
    """Ordinary text at even places, code points of unseen characters at odd ones."""
    text = text.replace("\r\n", "\n")
    pieces = []
    at = 0
    for match in _UNSEEN.finditer(text):
        pieces += [text[at : match.start()], code_point(match)]
        at = match.end()
    return [*pieces, text[at:]]


def clip(text: str, *, head: int, tail: int) -> Segment:
    """`text` whole if it is short, else its first `head` and last `tail` characters."""
    if len(text) <= head + tail:
        return Segment(text, 0, "")
    return Segment(text[:head], len(text) - head - tail, text[len(text) - tail :])


def one_line(text: str, limit: int) -> str:
    """The start of `text` on one line, at most `limit` characters."""
    words = " ".join(text[: 4 * limit].split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def cut_tail(full: str, kept: str) -> str:
    """The part of `full` that the cut took.

    `kept` is what the kept tokens decode to. A cut inside a multi-byte character leaves U+FFFD at its end,
    and some tokenizers normalise as they decode, so `kept` need not be a prefix of `full`.
    """
    if full.startswith(kept):
        return full[len(kept) :]
    whole = kept.rstrip("\ufffd")
    if full.startswith(whole):
        return full[len(whole) :]
    return full[min(len(kept), len(full)) :]


def count(value: int) -> str:
    """12,345."""
    return f"{value:,}"


def compact(value: float) -> str:
    """1,234 as it is; 56.7 k, 1.23 M and 4.5 B above 10,000."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:,.1f}{NBSP}{unit}" if scaled >= 10 else f"{scaled:,.2f}{NBSP}{unit}"
    return f"{value:,.0f}"


def percent(share: float, digits: int = 1) -> str:
    """91.4 %; never 100.0 % for a share below one, nor 0.0 % for one above zero."""
    if digits and 0 < share < 1:
        edge = 0.5 * 10 ** -(digits + 2)
        if share >= 1 - edge:
            return f">{NBSP}{100 - 10**-digits:.{digits}f}{NBSP}%"
        if share < edge:
            return f"<{NBSP}{10**-digits:.{digits}f}{NBSP}%"
    return f"{100 * share:.{digits}f}{NBSP}%"


def interval(rate: float, low: float, high: float) -> str:
    """91.4 % [89.0, 93.3]."""
    return f"{percent(rate)} [{100 * low:.1f},{NBSP}{100 * high:.1f}]"


def signed(value: float, digits: int = 1) -> str:
    """+2.0 and −2.8 with a real minus sign."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"
