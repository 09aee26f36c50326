# The module of a registered kind gets exactly these two: what the document says,
# with the values of its references in place.

variable "metadata" {
  description = "Who the resource is."
  type = object({
    name = string
    org  = string
    env  = string
  })
}

variable "spec" {
  description = "What is wanted; see components/greeting-service.yaml."
  type = object({
    message   = string
    network   = string
    replicas  = optional(number, 1)
    upstreams = optional(list(string), [])
  })
}
