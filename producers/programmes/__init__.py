"""The programmes that ship with Carbonflow, and the reader of an operator's own."""
