-- wrk: the payments of load_create.lua, each connection at its own pace, and the answers counted.
dofile(os.getenv("CREATE_LUA"))

local milliseconds = tonumber(os.getenv("DELAY_MILLISECONDS"))
created, refused, told, other = 0, 0, 0, 0

-- The pause between two requests of a connection; its mean is the requested one.
function delay()
  return math.random(0, 2 * milliseconds)
end

function response(status, headers)
  if status == 201 then
    created = created + 1
  elseif status == 503 or status == 429 then
    refused = refused + 1
    if headers["Retry-After"] or headers["retry-after"] then told = told + 1 end
  else
    other = other + 1
  end
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

function done(summary)
  local function total(name)
    local sum = 0
    for _, thread in ipairs(threads) do sum = sum + thread:get(name) end
    return sum
  end
  local e = summary.errors
  io.write(string.format(
    'counted {"created": %d, "refused": %d, "refused_with_retry_after": %d, "other": %d,'
    .. ' "socket_errors": %d, "seconds": %f}\n',
    total("created"), total("refused"), total("told"), total("other"),
    e.connect + e.read + e.write + e.timeout, summary.duration / 1e6))
end
