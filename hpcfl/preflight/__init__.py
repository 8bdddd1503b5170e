"""Before a job is queued: what it will take in memory, traffic and time, and on how many ranks it is worth running."""
