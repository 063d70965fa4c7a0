"""Why an event is refused: stable codes, each with the sentence a person reads.

    Refusal            the domain said no; the message goes to `refusals` with one of these codes
    anything else      a bug or an outage; it stops the worker with its offsets unmoved

A code never changes its meaning and is never reused. No other code is ever written.
"""

from collections.abc import Mapping
from typing import Final

REFUSALS: Final[Mapping[str, str]] = {
    # The message is not one of our records.
    "not_framed": "The value does not begin with the Confluent frame (0 and a schema id).",
    "unknown_schema": "The schema id is not in the catalogue.",
    "wrong_record": "The schema belongs to another record than this topic carries.",
    "too_large": "The value is above 900 kB.",
    "undecodable": "The value cannot be decoded with its schema.",
    # A row of a foreign file did not become a record.
    "row_missing_value": "A required column of the row is empty.",
    "row_bad_value": "A value of the row cannot be read as its field.",
    "row_unmapped": "The row does not fit the mapping.",
    # The record contradicts itself or leaves the accepted range.
    "identity_invalid": "source, id or account is empty or has a zero byte, or source has a colon.",
    "identity_too_long": "source, id or account is longer than 1,000 bytes.",
    "timestamp_invalid": "Its message was written before 1970 or after the year 9999.",
    "energy_out_of_range": "energy_wh is negative or above 10 MWh.",
    "time_invalid": "A time lies before 1970 or after the year 9999.",
    "ended_before_started": "It ends before it starts.",
    "too_long": "It lasts longer than 31 days.",
    "ended_in_future": "It ends more than a day after its message was written.",
    "distance_out_of_range": "distance_m is not above zero, or a distance is above 20,000 km.",
    "cargo_out_of_range": "cargo_kg is negative, above 100 t, or zero without energy_used.",
    "energy_used_out_of_range": "energy_used is negative or beyond what one trip can use.",
    "revision_invalid": "revision is negative.",
    # The programme's rules do not take it.
    "programme_unknown": "No programme of that name is loaded.",
    "activity_not_in_programme": "The programme has no method for this kind of activity.",
    "vehicle_class_unknown": "The programme has no such vehicle class.",
    "energy_carrier_unknown": "energy_used has no unit for this energy carrier.",
    "factor_not_found": "No emission factor fits, with the fallbacks the programme allows.",
    "account_in_other_programme": "The account belongs to another programme.",
    # It would need what the books no longer or not yet know.
    "original_unknown": "It corrects an earlier record; corrections are not booked yet.",
    "late_beyond_memory": "It ended so long ago that a repeat could no longer be told.",
}

_MEND_SENDER: Final = "Let the sender mend the record and send it anew; as it is it stays refused."
_MEND_MAPPING: Final = (
    "Mend the mapping, then `carbonflow refusals replay --mapping FILE`; or mend the file. A "
    "mended file, and any whose mapping has a pseudonym, is loaded again, which books no row twice."
)
_PROGRAMME: Final = (
    "If the programme should take it, add that to the programme, restart the workers, then "
    "`carbonflow refusals replay`. Else let the sender mend it."
)

REMEDIES: Final[Mapping[str, str]] = {
    "not_framed": "Let the producer write the frame; what it sent as plain Avro or JSON is lost to "
    "us, so it has to send it anew.",
    "unknown_schema": "Use a release whose catalogue has the schema, then `carbonflow refusals "
    "replay`; or let the producer use one of ours.",
    "wrong_record": "Let the producer send it to the topic of its record.",
    "too_large": "Only its beginning is kept, so it cannot be replayed. Let the sender cut it down "
    "and send it anew.",
    "undecodable": "Let the producer write with the schema it names. If that was right and our "
    "reader was not, upgrade, then `carbonflow refusals replay`.",
    "row_missing_value": _MEND_MAPPING,
    "row_bad_value": _MEND_MAPPING,
    "row_unmapped": _MEND_MAPPING,
    "identity_invalid": _MEND_SENDER,
    "identity_too_long": _MEND_SENDER,
    "timestamp_invalid": _MEND_SENDER,
    "energy_out_of_range": _MEND_SENDER,
    "time_invalid": _MEND_SENDER,
    "ended_before_started": _MEND_SENDER,
    "too_long": _MEND_SENDER,
    "ended_in_future": "Set the sender's clock. If the clock was right, wait for the day to come, "
    "then `carbonflow refusals replay`.",
    "distance_out_of_range": _MEND_SENDER,
    "cargo_out_of_range": _MEND_SENDER,
    "energy_used_out_of_range": _MEND_SENDER,
    "revision_invalid": _MEND_SENDER,
    "programme_unknown": "Name the programme's file in CARBONFLOW_PROGRAMMES, restart the workers, "
    "then `carbonflow refusals replay`. If its name is misspelt, let the sender mend it.",
    "activity_not_in_programme": _PROGRAMME,
    "vehicle_class_unknown": _PROGRAMME,
    "energy_carrier_unknown": _PROGRAMME,
    "factor_not_found": "Publish a factor that covers its region and time (`carbonflow factors "
    "load`), then `carbonflow refusals replay`.",
    "account_in_other_programme": "Let the sender give each programme accounts of its own.",
    "original_unknown": "Corrections are not booked yet. It is kept for 365 days, to be replayed "
    "with a release that books them.",
    "late_beyond_memory": "Let workers ask the store about such events (CARBONFLOW_LATE_EVENTS=ask"
    "), then `carbonflow refusals replay`: what is booked already is counted as a repeat.",
}
"""What an operator does about each."""

ACCEPTED: Final = 0
CODES: Final = ("", *REFUSALS)
"""Codes by number, so that a column of refusals is a column of small integers; 0 is accepted."""

NUMBER: Final[Mapping[str, int]] = {code: number for number, code in enumerate(CODES)}
