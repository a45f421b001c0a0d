"""Numbers that --help names, which is to answer before anything heavy is imported."""

SHARD_GB = 1.0  # GiB of a tar shard
TRIAL_SCENES = 20  # that a trial converts at most
