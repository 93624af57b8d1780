-- Builds the bodies of a template (body_templates.py) for wrk, and prints the result as one JSON line.
-- Environment variables: WRK_TEMPLATE (a file), WRK_SEED, WRK_KEY (a bearer key).

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("WRK_KEY")

local head, tail, separator, numbered, count, shuffled
local items, chosen = {}, {}

local function build_request()
  local last = #items
  for index = 1, count do
    if shuffled then
      local other = math.random(index, last)
      items[index], items[other] = items[other], items[index]
    end
    local item = items[index]
    chosen[index] = numbered and ("a" .. (index - 1) .. ": " .. item) or item
  end
  return wrk.format(nil, nil, nil, head .. table.concat(chosen, separator, 1, count) .. tail)
end

function init()
  math.randomseed(tonumber(os.getenv("WRK_SEED")))
  local lines = io.lines(os.getenv("WRK_TEMPLATE"))
  head, tail, separator = lines(), lines(), lines()
  numbered, count, shuffled = lines() == "1", tonumber(lines()), lines() == "1"
  for line in lines do
    items[#items + 1] = line
  end
  local fixed_request = build_request()
  request = shuffled and build_request or function() return fixed_request end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local form = 'MEASURED {"requests":%d,"seconds":%.6f,"bytes":%d,"failed":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n'
  io.write(string.format(form, summary.requests, summary.duration / 1e6, summary.bytes, failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
