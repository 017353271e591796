"""Other people's code at the same work, each in a file of its own that imports its library."""
