"""Plans and verdicts that a language model makes up: asked for, checked, judged by another model, and stored."""
