"""report.html: one self-contained page about a run, from the funnel to twenty pairs to read."""

from transforms.report.examples import Example, choose_examples
from transforms.report.page import render_report

__all__ = ["Example", "choose_examples", "render_report"]
