-- wrk: POST payments, each with its own key, as fast as the connections allow.
local n = 0
local run = os.time() .. (os.getenv("SET") or "") .. "-" .. (os.getenv("RUN") or "0")
function request()
  n = n + 1
  local key = string.format("wrk-%s-%d", run, n)
  local body = string.format('{"accountId":"acc_%d","amount":%d.%02d,"description":"bench"}',
    n % 1000, n % 5000 + 1, n % 100)
  return wrk.format("POST", wrk.path, {
    ["Content-Type"] = "application/json", ["Idempotency-Key"] = key }, body)
end
