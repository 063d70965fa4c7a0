"""One machine: broker, chDB store and the runtime that starts all of it."""
