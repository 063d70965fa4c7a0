// Codes of refusals in simplified Chinese: what they mean, and what to do. English comes from the API.

const SENDER = "请发送方修正记录后重新发送；原样重发仍会被拒收。";
const MAPPING =
  "修正映射后执行 `carbonflow refusals replay --mapping FILE`；或修正文件。修正后的文件，以及映射中含化名的文件，请重新加载，同一行不会重复入账。";
const PROGRAMME =
  "如果计划应当接受此类记录，请在计划中添加，重启 worker，然后执行 `carbonflow refusals replay`；否则请发送方修正。";

/** @type {Record<string, string>} */
export const MEANINGS = {
  not_framed: "内容不以 Confluent 帧（0 与模式编号）开头。",
  unknown_schema: "模式编号不在目录中。",
  wrong_record: "模式属于另一类记录，不属于此主题。",
  too_large: "内容超过 900 kB。",
  undecodable: "内容无法按其模式解码。",
  row_missing_value: "该行缺少必填列。",
  row_bad_value: "该行的某个值无法读作相应字段。",
  row_unmapped: "该行不符合映射。",
  identity_invalid: "来源、编号或账户为空或含零字节，或来源含冒号。",
  identity_too_long: "来源、编号或账户超过 1,000 字节。",
  timestamp_invalid: "消息的写入时间早于 1970 年或晚于 9999 年。",
  energy_out_of_range: "energy_wh 为负或超过 10 MWh。",
  time_invalid: "某个时间早于 1970 年或晚于 9999 年。",
  ended_before_started: "结束早于开始。",
  too_long: "持续超过 31 天。",
  ended_in_future: "结束时间比消息写入时间晚一天以上。",
  distance_out_of_range: "distance_m 不大于零，或某个距离超过 20,000 km。",
  cargo_out_of_range: "cargo_kg 为负、超过 100 t，或在没有 energy_used 时为零。",
  energy_used_out_of_range: "energy_used 为负，或超过一次运输可能的用量。",
  revision_invalid: "revision 为负。",
  programme_unknown: "没有加载此名称的计划。",
  activity_not_in_programme: "计划没有此类活动的方法。",
  vehicle_class_unknown: "计划没有此车型。",
  energy_carrier_unknown: "energy_used 没有此能源的单位。",
  factor_not_found: "在计划允许的替代范围内没有适用的排放因子。",
  account_in_other_programme: "账户属于另一计划。",
  original_unknown: "它更正较早的记录；目前尚不支持更正入账。",
  late_beyond_memory: "结束时间过早，已无法判断是否重复。",
};

/** @type {Record<string, string>} */
export const REMEDIES = {
  not_framed: "请生产者写入帧；以普通 Avro 或 JSON 发送的内容我们无法使用，须重新发送。",
  unknown_schema: "使用目录中含此模式的版本，然后执行 `carbonflow refusals replay`；或请生产者使用我们的模式。",
  wrong_record: "请生产者发送到该记录所属的主题。",
  too_large: "仅保留开头，无法重发。请发送方缩减后重新发送。",
  undecodable: "请生产者按其声明的模式写入。如果写入无误而读取有误，请升级后执行 `carbonflow refusals replay`。",
  row_missing_value: MAPPING,
  row_bad_value: MAPPING,
  row_unmapped: MAPPING,
  identity_invalid: SENDER,
  identity_too_long: SENDER,
  timestamp_invalid: SENDER,
  energy_out_of_range: SENDER,
  time_invalid: SENDER,
  ended_before_started: SENDER,
  too_long: SENDER,
  ended_in_future: "请校准发送方时钟。如果时钟无误，请等到该日之后执行 `carbonflow refusals replay`。",
  distance_out_of_range: SENDER,
  cargo_out_of_range: SENDER,
  energy_used_out_of_range: SENDER,
  revision_invalid: SENDER,
  programme_unknown:
    "在 CARBONFLOW_PROGRAMMES 中指定计划文件，重启 worker，然后执行 `carbonflow refusals replay`。如果名称拼写有误，请发送方修正。",
  activity_not_in_programme: PROGRAMME,
  vehicle_class_unknown: PROGRAMME,
  energy_carrier_unknown: PROGRAMME,
  factor_not_found: "发布覆盖该地区与时间的因子（`carbonflow factors load`），然后执行 `carbonflow refusals replay`。",
  account_in_other_programme: "请发送方为每个计划使用各自的账户。",
  original_unknown: "目前尚不支持更正入账。记录保留 365 天，可在支持更正的版本中重发。",
  late_beyond_memory:
    "让 worker 向存储查询此类事件（CARBONFLOW_LATE_EVENTS=ask），然后执行 `carbonflow refusals replay`：已入账者计为重复。",
};
