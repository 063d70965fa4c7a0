"""The client: how a program of a producer sends charging sessions and freight trips.

    from producers.client.records import ChargingSession
    from producers.client.settings import ClientSettings
    from producers.client.sync import Client                     # or asynchronous.AsyncClient

    with Client(ClientSettings()) as client:
        delivery = client.send(ChargingSession(session_id="S1", ...))
        delivery.result(timeout_s=30)                            # the broker has it

`records` are checked before they leave the process, by the worker's own rules; `sending` is the
core of both faces; a `Delivery` says what became of a record. Without a spool records go straight
into librdkafka (`direct`), with one to the disk first and from there (`spooled`, `spool`).

All of it needs numpy and confluent-kafka and nothing else, but for `columns`: it sends whole Arrow
batches for the loaders, and needs the pipeline's own packages.
"""
