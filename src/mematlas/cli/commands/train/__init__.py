"""Commands that train: experiments, the demo, predictors."""
