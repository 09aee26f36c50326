variable "spec" {}
