-- What `benchmarks.wrk` lets wrk send: sessions that were not sent before, RECORDS of them a
-- request, numbered from FIRST on.
local records, sent = tonumber(os.getenv("RECORDS")), tonumber(os.getenv("FIRST"))
local kind = records == 1 and "application/json" or "application/x-ndjson"
local session = '{"session_id":"session-%010d","account_id":"account-%06d","vehicle_class":"car",'
    .. '"grid_region":"CN-BJ","started_at":%.0f,"ended_at":%.0f,"energy_wh":%d,"meter_side":"grid",'
    .. '"current":"dc","operator_id":"MA002TMQX","evse_id":"1101050%03d"}'

wrk.method = "POST"
wrk.path = "/v1/charging-sessions"
wrk.headers["authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.headers["content-type"] = kind

function request()
    local lines = {}
    for line = 1, records do
        local ended = 1700000000000 + sent
        lines[line] = session:format(
            sent, sent % 20000, ended - 3600000, ended, 10000 + sent % 50000, sent % 997)
        sent = sent + 1
    end
    return wrk.format(nil, nil, nil, table.concat(lines, "\n"))
end

function done(summary, latency)
    local errors = summary.errors
    io.stderr:write(string.format(
        '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "max_ms": %f, "faults": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3, latency.max / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
