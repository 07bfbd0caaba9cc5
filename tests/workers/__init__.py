"""Sessions in worker processes: pools of every kind, forks, and what they share."""
