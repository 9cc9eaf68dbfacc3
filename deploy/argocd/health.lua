-- Health of Hub, Device, Network and Route for Argo CD. One script for the four: their conditions mean the same.
local function waiting(message)
  return { status = "Progressing", message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return waiting("is being deleted")
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local ready = conditions.Ready
if ready == nil then
  return waiting("waiting for the operator")
end
-- What is said of an earlier generation says nothing about what was just applied.
if status.observedGeneration ~= obj.metadata.generation or ready.observedGeneration ~= obj.metadata.generation then
  return waiting("waiting for the operator to look at the change")
end
-- Only a person can help.
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return { status = "Degraded", message = conditions.Stalled.message }
end
if ready.status == "True" then
  if ready.reason == "Disabled" then
    return { status = "Suspended", message = ready.message }
  end
  return { status = "Healthy", message = ready.message }
end
-- Not there yet, or failed and tried again by itself.
return waiting(ready.message)
