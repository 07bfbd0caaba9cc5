"""Programs that stand for the hosts and workers of a cluster."""
