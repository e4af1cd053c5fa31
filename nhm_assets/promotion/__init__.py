"""Stage 4: puts a candidate that passed the gate into Production."""
