"""Lists of jobs, each done once by any number of processes and machines."""
