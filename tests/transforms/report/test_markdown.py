"""Text of strangers stays text: in a line, a table cell, a code span, a code block."""

import pytest

from transforms.report.markdown import cell, code, fenced, markdown


def test_words_cannot_become_markup() -> None:
    shown = markdown("a|b <script> [x](javascript:1) *b* `c` @all https://evil.example\n# h")
    assert "\n" not in shown
    assert shown.startswith(r"a\|b &lt;script&gt; \[x\](javascript:1) \*b\* \`c\` \@all https:")
    assert "://" not in shown


@pytest.mark.parametrize(
    ("value", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("<|eot|>", "`<|eot|>`")]
)
def test_code_spans_outgrow_their_content(value: str, shown: str) -> None:
    assert code(value) == shown


def test_a_bar_cannot_end_a_table_cell() -> None:
    assert cell("a|b") == "`a¦b`"


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fenced("x```y``") == "````text\nx```y``\n````"


def test_a_fence_shows_what_cannot_be_seen() -> None:
    assert fenced("a\u202e\x00", "yaml") == "```yaml\na[U+202E][U+0000]\n```"
