"""PEFT adapters (LoRA and others): changes to the weights of another model, in a folder of their own."""
