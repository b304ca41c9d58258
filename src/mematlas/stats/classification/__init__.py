"""How well scores separate two classes: ROC and PR curves, calibration, forecasts, membership inference."""
