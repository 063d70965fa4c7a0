"""Records of tests as a fetch brings them: out of the bytes of a batch."""

from schemas.records import RecordColumns, Records


def fetched_from(batch: bytes | bytearray, *, check_crcs: bool = True) -> Records:
    """Return all records of a batch that are committed."""
    (records,) = RecordColumns(
        bytes(batch),
        fetch_offset=0,
        aborted=(),
        read_committed=True,
        check_crcs=check_crcs,
        records_max=lambda: 1 << 20,
    )
    return records
