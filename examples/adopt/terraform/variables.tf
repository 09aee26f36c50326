variable "team" {
  description = "Whose website it is."
  type        = string
}

variable "domains" {
  description = "The domains that the website answers for."
  type        = set(string)
}

variable "pages" {
  description = "How many pages it has."
  type        = number
  default     = 1
}
