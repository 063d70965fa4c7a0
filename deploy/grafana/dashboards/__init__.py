"""The dashboards, a module each; `sources` is what they ask, `panels` how they look."""
