"""Drawing charts with Altair: a finding's chart and table become a Vega-Lite specification or an image."""
