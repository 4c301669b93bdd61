#!/usr/bin/env bash
# ray 2.60.0 (Ray Data), pyarrow 26.0.1.
#
# `DataContext.max_errored_blocks = 1` lets a pipeline go on when one row raises. What goes is not the row: it is the
# block that it was in. And small files are read into one block, whatever `override_num_blocks` says: with sixteen files
# of 100 rows, one row that raises drops all 1,600 and the job succeeds, with an empty result.
#
# Why it surprises: the setting reads as a tolerance for bad rows, and `override_num_blocks=16` as sixteen blocks; both
# are documented, and the second one is not obeyed. Nothing in the result says how many rows are gone, only a line of the
# log. Whom it costs what: preparation of preference pairs or SFT rows with a tokenizer that raises on one of them: the
# trained-on set is smaller by thousands of rows, which ones depends on how files were laid out. And without errors: one
# worker does all the work. `repartition` is obeyed; and a row's error is caught in the function that is mapped.
#
# Seen:
