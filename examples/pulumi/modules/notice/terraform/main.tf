# The same notice. Terraform's modules get the document as two variables, with names in
# snake case.
variable "metadata" {
  type = object({ name = string })
}

variable "spec" {
  type = object({
    text      = string
    copies    = optional(number, 1)
    put_up_by = optional(string, "")
  })
}

resource "terraform_data" "board" {
  input = {
    text   = var.spec.text
    copies = var.spec.copies
  }
}

output "text" {
  value = terraform_data.board.output.text
}

output "copies" {
  value = terraform_data.board.output.copies
}

output "signature" {
  value     = "${var.spec.put_up_by}, who must not be asked"
  sensitive = true
}
