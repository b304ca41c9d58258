"""Analyses that compare the models of a family: transitions, scaling, forecast, overlap."""
