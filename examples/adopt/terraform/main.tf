# Code as it may have stood in a repository for years: nothing in it knows of
# Stackreeve, and nothing in it had to be changed.

terraform {
  required_version = ">= 1.4"
}

module "label" {
  source = "./modules/label"

  team    = var.team
  purpose = "website"
}

resource "terraform_data" "site" {
  for_each = var.domains

  input = {
    domain = each.value
    label  = module.label.text
    pages  = var.pages
  }
}
