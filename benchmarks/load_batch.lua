-- wrk: POST batches of 1,000 payments, each payment with its own key.
local n = 0
local run = os.time() .. (os.getenv("SET") or "") .. "-" .. (os.getenv("RUN") or "0")
function request()
  local items = {}
  for i = 1, 1000 do
    n = n + 1
    items[i] = string.format('{"idempotencyKey":"wrk-%s-%d","accountId":"acc_%d","amount":"%d.%02d"}',
      run, n, n % 1000, n % 5000 + 1, n % 100)
  end
  return wrk.format("POST", wrk.path, { ["Content-Type"] = "application/json" },
    '{"payments":[' .. table.concat(items, ",") .. ']}')
end
