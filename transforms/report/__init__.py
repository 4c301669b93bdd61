"""report.html and audit.html: self-contained pages about a run and about what truncating would do."""

from transforms.report.audit_page import render_audit
from transforms.report.examples import Example, choose_examples
from transforms.report.page import render_report

__all__ = ["Example", "choose_examples", "render_audit", "render_report"]
