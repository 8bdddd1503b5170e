"""A web site over a folder of runs, for the group that made them: `hpcfl dashboard RESULTS_DIR`."""
