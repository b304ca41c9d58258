"""The version of mematlas: in every manifest, and part of what decides whether something is up to date."""

__version__ = "0.1.0.dev0"
