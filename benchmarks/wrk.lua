-- Makes the bodies of a recipe (recipes.py) for wrk, and prints what was measured as one JSON line.
-- From the environment: WRK_RECIPE (a file), WRK_SEED, WRK_KEY (a bearer key).

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("WRK_KEY")

local head, tail, separator, numbered, count, shuffled
local items, chosen = {}, {}

local function make()
  local last = #items
  for place = 1, count do
    if shuffled then
      local other = math.random(place, last)
      items[place], items[other] = items[other], items[place]
    end
    local item = items[place]
    chosen[place] = numbered and ("a" .. (place - 1) .. ": " .. item) or item
  end
  return wrk.format(nil, nil, nil, head .. table.concat(chosen, separator, 1, count) .. tail)
end

function init()
  math.randomseed(tonumber(os.getenv("WRK_SEED")))
  local lines = io.lines(os.getenv("WRK_RECIPE"))
  head, tail, separator = lines(), lines(), lines()
  numbered, count, shuffled = lines() == "1", tonumber(lines()), lines() == "1"
  for line in lines do
    items[#items + 1] = line
  end
  local always = make()
  request = shuffled and make or function() return always end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local form = 'MEASURED {"requests":%d,"seconds":%.6f,"bytes":%d,"failed":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n'
  io.write(string.format(form, summary.requests, summary.duration / 1e6, summary.bytes, failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
