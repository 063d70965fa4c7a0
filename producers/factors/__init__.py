"""Where emission factors come from: the shipped release, Electricity Maps files, a user's CSV."""
