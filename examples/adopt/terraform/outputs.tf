output "label" {
  value = module.label.text
}

output "domains" {
  value = sort([for site in terraform_data.site : site.output.domain])
}
