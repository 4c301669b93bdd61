"""Numbers with their uncertainty. Arrays in, numbers out: nothing here reads a table or asks a model.

spread     quantiles, and their names
intervals  shares and means with their intervals; Wilson's
clustered  values that share clusters, such as pairs that share prompts
two_way    over trainings and prompts at once
estimates  unbiased although sampling was adaptive and partly skipped
"""
