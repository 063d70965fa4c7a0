"""On the wire: Avro schemas, their examples, the catalogue of topics, and the codec between records and columns."""
