"""What the policy's chat template did to a run, in words, for the terminal, the report and the card."""

import json

from transforms.records.manifest import Manifest, TemplateRecord


def template_in_words(manifest: Manifest) -> list[str]:
    """What somebody who compares tokens has to know; nothing for a template that writes a text as it is."""
    template = manifest.template
    if template is None:
        return []
    found = []
    if template.changed:
        some = "response" if template.changed == 1 else "responses"
        found.append(f"it changed the white space of {template.changed:,} {some}, and the tokens follow it")
    if template.date:
        found.append(f"it was told the day {template.date}")
    if template.kwargs:
        found.append(f"it was called with {json.dumps(template.kwargs, ensure_ascii=False)}")
    if template.text is not None:
        found.append("it is the recipe's own in place of the model's")
    if template.reasoning == "inline":
        found.append("reasoning stands in the text, between <think> and </think>")
    if template.before_text:
        found.append(
            f"it may write {len(template.before_text)} tokens before a text, which are part of the response and which "
            "no truncation counts"
        )
    return found


def rows_that_cannot_be(template: TemplateRecord | None) -> list[tuple[str, str]]:
    """(probe, reason) of what was tried before the run and is quarantined."""
    return [(probe.name, probe.why or "") for probe in template.probes if not probe.exact] if template else []
