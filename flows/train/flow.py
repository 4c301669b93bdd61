"""The training as a Prefect flow."""

from functools import partial

from prefect import flow

from flows.runtime.artifacts import show_progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.train.artifacts import show_training
from flows.train.config import TrainingRecipe
from flows.train.output import METRICS, publish_training, training_folder
from flows.train.page import training_page
from flows.train.plan import TrainingPlan, plan_training
from flows.train.record import TrainingRecord
from flows.train.stages import Training


@flow(name="train", flow_run_name="train {recipe.name}", persist_result=False)
def train(recipe: TrainingRecipe) -> TrainingRecord:
    """Train a policy on a curated run; the model and what became of it go to the recipe's output folder."""
    end_server_with_us()
    plan = plan_training(recipe)
    return plan.finished or run_training(plan)


def run_training(plan: TrainingPlan, *, refer_to_every: bool = False) -> TrainingRecord:
    """Every stage in order; a run that died goes on from its newest checkpoint.

    Args:
        plan: the recipe with everything found.
        refer_to_every: whether the reference reads examples, too, that no step sees, as other trainings may.
    """
    output = plan.recipe.output
    claimed = training_folder(
        plan.folder, fingerprint=plan.fingerprint, overwrite=output.overwrite, resume=output.resume
    )
    with claimed as work:
        training = Training(plan, work)
        show_progress(training.progress)
        stage("read shards", training.read)
        training.reward(engine_call)
        stage("check", training.check)
        training.refer(engine_call, every=refer_to_every)
        record = stage("train", training.train)
        page = training_page(record, work / METRICS)
        stage("write", partial(publish_training, plan.folder, record, page))
    show_training(record, plan.folder)
    return record
