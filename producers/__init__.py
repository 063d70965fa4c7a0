"""Comes in: mapped files, factor sources and the client that sends them to Kafka."""
