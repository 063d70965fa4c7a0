"""On the wire: Avro schemas with examples, the catalogue of topics, and the codecs."""
