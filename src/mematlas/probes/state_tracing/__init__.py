"""Which hidden states of a prompt the recited tokens depend on (P3): rows are traced one by one."""
