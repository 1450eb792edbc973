"""The resource as its users see it: models, defaults, rules and the CRD made from them. Pure data."""
