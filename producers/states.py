"""States: words for a country or one of its states, to the regions that emission factors are for.

Countries are ISO 3166-1, two or three letters. States are told for the countries whose releases
have factors below the country: China and India, by the last part of their ISO 3166-2 code, by name
in English or Chinese, or by GB/T 2260, whose first two digits are the province.

Hong Kong, Macao and Taiwan have countries' codes in ISO 3166-1 and factors of their own, so their
codes lead to `HK`, `MO` and `TW` whichever standard they are from. A state of the United States
leads to no region: eGRID's subregions cut through states, so only a table of stations can tell.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from iso3166 import countries_by_alpha2, countries_by_alpha3

_CN: Final = """
11 BJ beijing 北京|12 TJ tianjin 天津|13 HE hebei 河北|14 SX shanxi 山西|15 NM inner_mongolia 内蒙古
21 LN liaoning 辽宁|22 JL jilin 吉林|23 HL heilongjiang 黑龙江|31 SH shanghai 上海
32 JS jiangsu 江苏|33 ZJ zhejiang 浙江|34 AH anhui 安徽|35 FJ fujian 福建
36 JX jiangxi 江西|37 SD shandong 山东
41 HA henan 河南|42 HB hubei 湖北|43 HN hunan 湖南|44 GD guangdong 广东|45 GX guangxi 广西
46 HI hainan 海南|50 CQ chongqing 重庆|51 SC sichuan 四川|52 GZ guizhou 贵州|53 YN yunnan 云南
54 XZ tibet 西藏|61 SN shaanxi 陕西|62 GS gansu 甘肃|63 QH qinghai 青海|64 NX ningxia 宁夏
65 XJ xinjiang 新疆|71 TW taiwan 台湾|81 HK hong_kong 香港|82 MO macao 澳门
"""
_IN: Final = """
AP andhra_pradesh|AR arunachal_pradesh|AS assam|BR bihar|CG chhattisgarh|CH chandigarh|DL delhi
DH dadra_and_nagar_haveli_and_daman_and_diu|GA goa|GJ gujarat|HP himachal_pradesh|HR haryana
JH jharkhand|JK jammu_and_kashmir|KA karnataka|KL kerala|LA ladakh|LD lakshadweep|LD laccadives
MH maharashtra|ML meghalaya|MN manipur|MP madhya_pradesh|MZ mizoram|NL nagaland|OD odisha|OD orissa
PB punjab|PY puducherry|RJ rajasthan|SK sikkim|TN tamil_nadu|TS telangana|TR tripura
UK uttarakhand|UP uttar_pradesh|WB west_bengal|AN andaman_and_nicobar|AN andaman_and_nicobar_islands
CT ct|OR or|TG tg|UT ut
"""
_OWN_COUNTRY: Final = ("TW", "HK", "MO")
_WORDS_OF_RANK: Final = re.compile(
    r"\b(province|municipality|state|city|sheng|shi"
    r"|((zhuang|hui|u[iy]gh?ur|special) )?(autonomous|administrative) region)\b"
)


def _rows(text: str) -> list[list[str]]:
    return [
        row.replace("_", " ").split(" ") for line in text.split("\n") for row in line.split("|")
    ]


def _cn() -> tuple[dict[str, str], dict[str, str]]:
    by_number: dict[str, str] = {}
    by_word: dict[str, str] = {}
    for row in _rows(_CN.strip()):
        number, code, *english, chinese = row
        region = code if code in _OWN_COUNTRY else f"CN-{code}"
        by_number[number] = region
        by_word |= {code.casefold(): region, " ".join(english): region, chinese: region}
    return by_number, by_word


_PROVINCES, _CN_WORDS = _cn()
_IN_WORDS: Final = {
    word: f"IN-{code}"
    for code, *name in _rows(_IN.strip())
    for word in (code.casefold(), " ".join(name))
}
STATES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"CN": MappingProxyType(_CN_WORDS), "IN": MappingProxyType(_IN_WORDS)}
)
"""Regions below a country, by country and folded word."""


def country_region(word: str) -> str | None:
    """Return the region of a country's code, or None where ISO 3166-1 has no such code.

    >>> country_region("BEL"), country_region("cn"), country_region("XX")
    ('BE', 'CN', None)
    """
    code = word.strip().upper()
    found = countries_by_alpha2.get(code) or countries_by_alpha3.get(code)
    return found.alpha2 if found else None


def gb2260_region(code: str) -> str | None:
    """Return the province of an administrative code of GB/T 2260: two, four or six digits and more.

    >>> gb2260_region("440305"), gb2260_region("81"), gb2260_region("990000")
    ('CN-GD', 'HK', None)
    """
    if not re.fullmatch(r"[0-9]{2}([0-9]{2}){0,5}", code, re.ASCII):
        return None
    return _PROVINCES.get(code[:2])


def state_region(country: str, word: str) -> str | None:
    """Return the region of a state or province of a country, by code or name.

    Args:
        country: The region of the country, as `country_region` gives it.
        word: `GD`, `CN-GD`, `Guangdong Province`, `广东省` or `440000`.

    >>> state_region("CN", "广西壮族自治区"), state_region("IN", "in-ka"), state_region("US", "CA")
    ('CN-GX', 'IN-KA', None)
    """
    words = STATES.get(country)
    if words is None:
        return None
    text = word.strip().casefold().removeprefix(f"{country.casefold()}-")
    if country == "CN":
        if text.isdigit():
            return gb2260_region(text)
        for name, region in words.items():
            if not name.isascii() and text.startswith(name):
                return region
    bare = re.sub(r"\s+", " ", _WORDS_OF_RANK.sub(" ", text)).strip()
    return words.get(text) or words.get(bare)
