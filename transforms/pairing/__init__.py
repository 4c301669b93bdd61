"""From scored responses to preference pairs, and what the scores are worth. Arrays in, arrays and numbers out.

scored          a run's responses as arrays, and the pairs of rows that share a prompt
wins            comparisons of two responses to a score of each
aggregate       several annotators' scores to one
length_control  a score less what length explains of it
strategies      scores to pairs, and why a prompt has none
agreement       do two annotators order responses alike?
reliability     does an annotator say the same when it is asked again, or the other way round?
win_rate        how often one policy's responses beat another's, also at equal length
"""
