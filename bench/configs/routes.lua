-- Requests that walk over all routes. Built once: the script must not slow the load tool down.
local requests, at = {}, 0

function init(args)
  for i = 1, 1000 do
    requests[i] = wrk.format(nil, "/r" .. (i * 7919) % @routes@ .. "/item")
  end
end

function request()
  at = at % 1000 + 1
  return requests[at]
end
