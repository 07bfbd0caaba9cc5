<<<<<<< HEAD
"""Programs that stand for the hosts and workers of a cluster."""
=======
"""Sessions in worker processes: pools of every kind, forks, and what they share."""
>>>>>>> 924f00e (Sessions on workers: a pickle opens at its first use, errors come back, forks share nothing)
