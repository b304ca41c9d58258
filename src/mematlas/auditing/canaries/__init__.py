"""Canaries: made-up secrets, put into a training file a known number of times, by which a model is later asked whether
it learned them by heart (Carlini et al. 2019, K5). Some are never put in: they show what chance gives.

`template` draws them, `training_file` and `insertion` put them into a file, `make` and `key` keep what is where;
`check` ranks them by a model, `finding` says what that shows, and `look` adds it to an audit.
"""
