"""The gateway: HTTP in, Kafka out, for those who have no Kafka client.

    records     JSON, a batch of it, or a line each: sessions and trips in our own fields
    events      CloudEvents, with a document of another standard in each
    ocpi        a receiver of CDRs or Sessions
    pulling     the other way round: fetches what a partner offers

What an answer calls accepted is on the broker, on all replicas in sync. It stands beside the read
API, and not on a floor of its own, because both are a door with the same gate, tokens, limits and
problems; it knows no store, which the import rule checks.
"""
