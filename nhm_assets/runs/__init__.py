"""What Dagster's runs are, how they ended, and who is notified."""
