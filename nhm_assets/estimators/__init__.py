"""How a model is fitted from rows. Training and the folds of the gate fit the same estimator."""
