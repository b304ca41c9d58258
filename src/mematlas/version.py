"""The version of mematlas: recorded in every manifest, and part of the fingerprints of build stamps."""

__version__ = "0.1.0.dev0"
