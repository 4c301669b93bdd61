"""What the chat template did, in words, on report, card and in the terminal."""

from flows_support import manifest as smallest

from transforms.records.manifest import ProbeRecord, TemplateRecord
from transforms.report.card import render_card
from transforms.report.chat_template import rows_that_cannot_be, template_in_words


def record(**changes) -> TemplateRecord:
    quiet = {
        "stops": [2],
        "before_text": [],
        "before_reasoning": [],
        "after_text": [2],
        "changed": 0,
        "probes": [ProbeRecord(name="plain", exact=True), ProbeRecord(name="tools", exact=False, why="writes <none>")],
    }
    return TemplateRecord(**quiet | changes)


def words(**changes) -> list[str]:
    return template_in_words(smallest().model_copy(update={"template": record(**changes)}))


def test_a_template_that_writes_a_text_as_it_is_needs_no_word():
    assert words() == []
    assert template_in_words(smallest()) == []  # of a run before templates were asked


def test_each_thing_that_it_did_is_said():
    found = words(
        changed=1200,
        date="2024-07-26",
        kwargs={"enable_thinking": False},
        text="{{ messages }}",
        reasoning="inline",
        before_text=[5, 6, 7],
    )
    assert found == [
        "it changed the white space of 1,200 responses, and the tokens follow it",
        "it was told the day 2024-07-26",
        'it was called with {"enable_thinking": false}',
        "it is the recipe's own in place of the model's",
        "reasoning stands in the text, between <think> and </think>",
        "it may write 3 tokens before a text, which are part of the response and which no truncation counts",
    ]
    assert words(changed=1)[0].startswith("it changed the white space of 1 response,")


def test_what_it_cannot_hold_is_named_with_its_reason():
    assert rows_that_cannot_be(record()) == [("tools", "writes <none>")]
    assert rows_that_cannot_be(None) == []


def test_the_card_says_it_with_nothing_that_could_become_markup():
    card = render_card(smallest().model_copy(update={"template": record(kwargs={"a": "<b>*x*</b>"})}))
    [line] = [line for line in card.splitlines() if line.startswith("The chat template:")]
    assert "<b>" not in line
    assert "*x*" not in line.replace("\\*", "")
