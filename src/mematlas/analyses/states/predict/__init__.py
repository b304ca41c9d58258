"""The analysis `predict`: how well predictors forecast which tokens are recited."""
