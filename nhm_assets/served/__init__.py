"""Stage 6: what the version in Production did, week by week."""
