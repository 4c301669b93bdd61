"""report.html of a generation: what became of the prompts, who answered, who judged, and what that is worth."""

from transforms.records.generation import GenerationManifest
from transforms.report.codes_in_words import UNPAIRED, ended_in_words, unpaired_in_words
from transforms.report.environment import render


def render_generation(manifest: GenerationManifest) -> str:
    """One HTML page that needs no network and runs no script; every number on it is the manifest's."""
    page = {
        "found": manifest,
        "ended": ended_in_words(manifest.counts.ended),
        "unpaired": {why: unpaired_in_words(why) for why in {*UNPAIRED, *manifest.counts.without_pair}},
    }
    return render("generation.html.j2", page)
