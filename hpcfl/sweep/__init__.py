"""Many jobs from one file: a grid or a list over any keys of a job, run here or as one Slurm array."""
