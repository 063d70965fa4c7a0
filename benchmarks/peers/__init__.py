"""Other ways to do the same job, as a good citizen of each framework would write it."""
