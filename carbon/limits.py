"""The accepted range of every quantity; what lies outside is refused before any arithmetic.

Within these limits no formula of this package overflows: an amount stays below 2**50 mg (about a
million tonnes), which is what `carbon.exact` needs to divide exactly.
"""

from typing import Final

ENERGY_WH_MAX: Final = 10_000_000  # 10 MWh in one session
SESSION_MS_MAX: Final = 31 * 86_400_000
DISTANCE_M_MAX: Final = 20_000_000  # half way round the Earth
CARGO_KG_MAX: Final = 100_000
ENERGY_USED_MAX: Final = 100_000_000  # ml, g or Wh for one trip
TEXT_BYTES_MAX: Final = 1_000  # a longer name might not fit into a transfer, which has it twice
FACTOR_MG_MAX: Final = 100_000_000  # 100 kg per unit
FUTURE_MS_MAX: Final = 86_400_000  # an activity may end this much after its record's timestamp

FOREVER_MS: Final = 253_402_300_800_000  # year 10000: the open end of a validity
YEAR_MS: Final = 366 * 86_400_000  # no year is longer
