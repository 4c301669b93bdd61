"""Numbers with their uncertainty. Nothing here knows what a pair or a model is.

intervals  shares and means with their intervals; Wilson's
clustered  values that share clusters, such as pairs that share prompts
two_way    over trainings and prompts at once
estimates  unbiased although sampling was adaptive and partly skipped
"""
