-- Health of an RFDETRTrainingJob for Argo CD: resource.customizations.health.rfdetr.io_RFDETRTrainingJob in argocd-cm.
local hs = {status = "Progressing", message = "the operator has not seen the job yet"}
if obj.status == nil or obj.status.phase == nil then
  return hs
end
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration < obj.metadata.generation then
  hs.message = "the operator has not seen the last change yet"
  return hs
end
local found = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.status == "True" then
    found[condition.type] = condition
  elseif condition.type == "Accepted" and condition.status == "False" then
    found.Refused = condition
  end
end
local function say(status, condition)
  hs.status = status
  hs.message = (condition.reason or condition.type) .. ": " .. (condition.message or "")
  return hs
end
if found.Failed then return say("Degraded", found.Failed) end
if found.Complete then return say("Healthy", found.Complete) end
if found.Refused then return say("Degraded", found.Refused) end
if found.Suspended then return say("Suspended", found.Suspended) end
-- a training that runs is what was asked for: a sync need not wait for its end
if obj.status.phase == "Running" and found.Running then return say("Healthy", found.Running) end
hs.message = obj.status.phase
return hs
