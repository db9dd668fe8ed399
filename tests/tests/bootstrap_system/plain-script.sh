#!/bin/bash
# What is commonly pasted into user data instead, with the logic of the CodeDeploy agent's 1.x installer (manifest,
# package, package manager) written out: nothing pinned, nothing retried, nothing proven.
set -e
imds=http://169.254.169.254/latest
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $imds/api/token)
get() { curl -fsS -H "X-aws-ec2-metadata-token: $token" "$imds/$1"; }
region=$(get dynamic/instance-identity/document | sed -n 's/.*"region" : "\([^"]*\)".*/\1/p')
instance=$(get meta-data/instance-id)
s3=https://s3.$region.amazonaws.com
folder=$(mktemp -d)
fetch() { curl -fsS --cacert /etc/pitcrew-test-authority.pem -o "$folder/$2" "$s3/$1"; }

fetch packages/pitcrew.deb pitcrew.deb
apt-get install -y "$folder/pitcrew.deb"

fetch "amazon-ssm-$region/3.3.3050.0/debian_amd64/amazon-ssm-agent.deb" ssm.deb
apt-get install -y "$folder/ssm.deb"
systemctl enable amazon-ssm-agent
systemctl restart amazon-ssm-agent

mkdir -p /etc/codedeploy-agent/conf
echo ':max_revisions: 2' >/etc/codedeploy-agent/conf/codedeployagent.yml
fetch "aws-codedeploy-$region/latest/LATEST_VERSION" manifest
key=$(sed -n 's/.*"deb":"\([^"]*\)".*/\1/p' "$folder/manifest")
fetch "aws-codedeploy-$region/$key" codedeploy.deb
apt-get install -y "$folder/codedeploy.deb"
systemctl enable codedeploy-agent
systemctl restart codedeploy-agent

credentials=$(get meta-data/iam/security-credentials/role-of-the-group)
field() { echo "$credentials" | sed -n "s/.*\"$1\" : \"\([^\"]*\)\".*/\1/p"; }
curl -fsS --cacert /etc/pitcrew-test-authority.pem --aws-sigv4 "aws:amz:$region:ec2" \
    --user "$(field AccessKeyId):$(field SecretAccessKey)" -H "X-Amz-Security-Token: $(field Token)" \
    -d "Action=CreateTags&Version=2016-11-15&ResourceId.1=$instance&Tag.1.Key=pitcrew%3Aready&Tag.1.Value=true" \
    "https://ec2.$region.amazonaws.com/"
