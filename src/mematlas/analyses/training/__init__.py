"""What training on a row does: analyses of models of which it is known what each was trained on."""
