"""The commands of `mematlas`, one module per command."""
