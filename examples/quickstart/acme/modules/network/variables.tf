variable "name" {
  description = "The network's name."
  type        = string
}

variable "cidr" {
  description = "The addresses of the network."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 1))
    error_message = "The cidr must be a range such as 10.0.0.0/16."
  }
}
