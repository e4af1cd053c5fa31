"""Stage 3: evaluates the candidate and the champion on the newest rows, and judges the candidate by the gate."""
