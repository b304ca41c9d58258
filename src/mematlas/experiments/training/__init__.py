"""Training small models: the network, a resumable trainer, and several trainings in parallel."""
