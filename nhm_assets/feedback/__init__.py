"""One dataset per partition, made from reviewers' feedback in MongoDB."""
