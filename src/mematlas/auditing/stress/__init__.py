"""Stress tests of unlearned models (P3): does a model that "forgot" a text still recite it under other prompts?

`prompts` and `synonyms` perturb the prompt of every row, `lengths` measures what models recite after each, `relearning`
trains the unlearned model a little on other rows; `damage` says what unlearning cost, `verdicts` what became of each
row, `finding` puts it into words, and `page` shows it.
"""
