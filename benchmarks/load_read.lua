-- wrk: GET a path, with ACCOUNT replaced by a different account each time.
local accounts = tonumber(os.getenv("ACCOUNTS"))
math.randomseed(7)
function request()
  local path = wrk.path:gsub("ACCOUNT", "acc_" .. math.random(0, accounts - 1))
  return wrk.format("GET", path)
end
