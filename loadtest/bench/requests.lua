-- A request file for wrk. All requests are made before the clock starts; while it runs, each is
-- only picked. Nothing looks at the answers here: statuses are counted by the server's metrics.
--
-- Arguments: FILE [PATH]   FILE: lines of path, token, idempotency key, body, parted by tabs; no key:
--                          none is sent; no body: a GET
--                          PATH: used in place of every request's own
local all, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, token, key, body = line:match("^([^\t]+)\t([^\t]+)\t([^\t]*)\t(.*)$")
    local headers = { ["Authorization"] = "Bearer " .. token }
    if key ~= "" then headers["Idempotency-Key"] = key end
    if body ~= "" then headers["Content-Type"] = "application/json" end
    all[#all + 1] = wrk.format(body == "" and "GET" or "POST", args[2] or path, headers,
      body ~= "" and body or nil)
  end
end

function request()
  at = at + 1
  return all[(at - 1) % #all + 1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nSUMMARY {"requests":%d,"duration_us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
