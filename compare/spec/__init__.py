"""What is to be trained: an experiment file, checked, and the configurations it describes."""
