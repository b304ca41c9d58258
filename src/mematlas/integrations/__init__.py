"""What plugs into other people's training: `MemorizationCallback` for transformers and TRL, a plugin for axolotl."""
