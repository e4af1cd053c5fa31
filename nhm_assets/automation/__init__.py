"""What starts work: jobs and schedules."""
