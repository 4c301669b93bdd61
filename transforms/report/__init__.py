"""Self-contained pages about a run, an audit, an evaluation, a training, a comparison; cards and pictures.

environment         the jinja environment of all pages: everything escaped
codes_in_words      reasons and verdicts in plain words
scales              axes and histogram shapes
figures             distributions over pairs
curves              curves with bands
funnel              where the pairs went
calibration         what the margin foretold and what sampling found
decided             what decided each pair
remarks             what a run has to say of its rows
replicas            what each of several engines did
chat_template       what the chat template did to it
slices              rows of a run, some at a time
examples            pairs to read
pairs               the table of pairs
page                report.html of a run
generation_rows     what the report of a generation is drawn from
generation_words    what its numbers mean
generation_figures  its figures
generation_page     report.html of a generation
audit_page          audit.html
answers             what models wrote, and whose answers won
benchmark_figures   its parts about RewardBench 2
annotated           what a chat benchmark's judge said, on the page of an evaluation
evaluation_page     evaluation.html
training_page       training.html
comparison_words    what a comparison allows to say
comparison_page     comparison.html
decode_page         decode.html
rounds_page         report.html of rounds
difference_words    what became other, in sentences
difference_page     diff.html
pictures            the report's figures as PNG
reproduction_pictures  a paper's table or figure beside what came out here, as PNG
markdown            text of strangers in Markdown
card                the dataset card
generation_card     that of a generation
"""

from transforms.report.audit_page import render_audit
from transforms.report.evaluation_page import render_evaluation
from transforms.report.examples import Example, choose_examples
from transforms.report.page import render_report

__all__ = ["Example", "choose_examples", "render_audit", "render_evaluation", "render_report"]
