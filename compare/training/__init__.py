"""Both backends trained in lock step, in this process, in others, or on a cluster."""
