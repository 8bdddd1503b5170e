"""The errors a user can cause or meet; each is one message and an exit code, never a traceback."""


class HpcflError(Exception):
    """Something hpcfl can explain. The message says what was given, what is valid and what to do."""

    exit_code = 1


class JobError(HpcflError):
    """A mistake in the job file or on the command line."""

    exit_code = 2


class DataError(HpcflError):
    """A dataset that is missing, damaged or smaller than the job asks."""

    exit_code = 2


class ResultError(HpcflError):
    """A result file that cannot be written or read."""

    exit_code = 2


class StorageError(ResultError):
    """Storage that fails while a run writes to it: a full disk, a quota, a file system that is read-only or gone."""


class SlurmError(HpcflError):
    """Slurm that is not there, or that refuses: in its own words."""

    exit_code = 2


class LaunchError(HpcflError):
    """Ranks that do not find one another, or disagree about what they are."""


class RankError(HpcflError):
    """A rank that failed, died or kept the others waiting for too long."""


class LostRankError(RankError):
    """A rank that failed, died or hangs, in a job that goes on with the others."""


class TrainingError(HpcflError):
    """A round that cannot be completed, because too few of its clients succeeded."""


class Refused(Exception):  # noqa: N818 - not an error of its own: that was reported
    """The ranks agree that the job cannot run, and rank 0 has told the user why: what is left is to exit."""

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code
