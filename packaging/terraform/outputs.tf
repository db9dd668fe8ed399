output "instance_profile_arn" {
  description = "For `iam_instance_profile` of a group that is made elsewhere."
  value       = aws_iam_instance_profile.instance.arn
}

output "user_data_base64" {
  description = "For `user_data` of a group that is made elsewhere."
  value       = data.external.user_data.result.base64
}
