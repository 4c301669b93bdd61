"""report.html, audit.html and evaluation.html: self-contained pages about a run, a truncation, a trained model."""

from transforms.report.audit_page import render_audit
from transforms.report.evaluation_page import render_evaluation
from transforms.report.examples import Example, choose_examples
from transforms.report.page import render_report

__all__ = ["Example", "choose_examples", "render_audit", "render_evaluation", "render_report"]
