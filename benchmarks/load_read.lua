-- wrk: GET a path in which ACCOUNT stands for one of so many, another each time.
local accounts = tonumber(os.getenv("ACCOUNTS"))
math.randomseed(7)
function request()
  local path = wrk.path:gsub("ACCOUNT", "acc_" .. math.random(0, accounts - 1))
  return wrk.format("GET", path)
end
