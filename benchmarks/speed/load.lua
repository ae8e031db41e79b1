-- What wrk sends. Arguments after `--`: prefix, file with a wallet id in each line, reads in ten requests, number of sessions
-- (0: none named), name of the sessions, a mark that makes the idempotency keys of this run its own.

local reads, prepared, paths, sessions, mark = 10, {}, {}, {}, ""
local n = 0

local function headers(number)
  local fields = { ["x-api-key"] = "bench" }
  if #sessions > 0 then
    fields["x-mock-session"] = sessions[number % #sessions + 1]
  end
  return fields
end

local function top_up(number)
  local fields = headers(number)
  fields["content-type"] = "application/json"
  local body = '{"credits_to_add":"1","transaction_reason":"FREE_CREDIT_GRANT","idempotency_key":"' .. mark .. "-" .. number .. '"}'
  return wrk.format("POST", paths[number % #paths + 1] .. "/top-up", fields, body)
end

function init(args)
  for wallet in io.lines(args[2]) do
    paths[#paths + 1] = args[1] .. "wallets/" .. wallet
  end
  reads, mark = tonumber(args[3]), args[6]
  local count = tonumber(args[4])
  for number = 1, count do
    sessions[number] = count == 1 and args[5] or args[5] .. "-" .. number
  end
  for number = 1, math.max(#paths, count) do -- reads are made beforehand, so that wrk is not what limits them
    prepared[number] = wrk.format("GET", paths[number % #paths + 1] .. "/balance/real-time", headers(number))
  end
end

function request()
  n = n + 1
  if n % 10 < reads then
    return prepared[n % #prepared + 1]
  end
  return top_up(n)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'result {"requests": %d, "seconds": %f, "median": %f, "p99": %f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
