variable "team" {
  type = string
}

variable "purpose" {
  type = string
}

output "text" {
  value = "${var.team}/${var.purpose}"
}
