"""Analyses of hidden states, and of predictors trained on them."""
