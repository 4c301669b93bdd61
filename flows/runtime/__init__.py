"""What every command stands on. Nothing here knows what a preference is.

environment       settings of other people's software, before it is imported
cli               logging, one clear message or an exit code out
config_files      configurations from YAML and flags
prefect_imports   Prefect without what its import takes along
early_server      the server of a new run, started before the recipe is parsed
temporary_server  Prefect's server for as long as a run lives
tasks             the two kinds of Prefect task: a stage, and a paid batch
progress          bars in a terminal, lines in a log
artifacts         progress in Prefect's UI
trackers          figures of finished runs, for W&B, TensorBoard, MLflow and Trackio
"""
