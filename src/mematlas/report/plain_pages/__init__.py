"""Pages of single probes: text and pictures, no script, nothing from elsewhere."""
