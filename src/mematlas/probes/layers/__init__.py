"""Where in the network reciting happens, and how firmly (K7): noise, the logit lens, and attention heads."""
