"""Prepares moto for one instance and its role, and asks it afterwards: moto.py ENDPOINT CA prepare ACTION | tags ID."""

import json
import sys
import urllib.request
import ssl

import boto3

endpoint, authority, command, argument = sys.argv[1:]


def client(service):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        verify=authority,
        region_name="eu-west-1",
        aws_access_key_id="ANYBODY",
        aws_secret_access_key="anything",
    )


def authorise(after_calls):
    """From now on moto checks signatures and policies, or no longer does."""
    url, plain = f"{endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, data=after_calls, headers=plain, method="POST")
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=authority)).read()


def policy(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


if command == "prepare":
    image = client("ec2").describe_images()["Images"][0]["ImageId"]
    instance = client("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = client("iam").create_role(RoleName="group", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": argument, "Resource": "*"}
    client("iam").put_role_policy(RoleName="group", PolicyName="tags", PolicyDocument=policy(allowed))
    credentials = client("sts").assume_role(RoleArn=role, RoleSessionName=instance)["Credentials"]
    authorise(b"0")
    del credentials["Expiration"]
    print(json.dumps({"instance": instance, **credentials}))
elif command == "tags":
    authorise(b"inf")
    tags = client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [argument]}])["Tags"]
    print(json.dumps({tag["Key"]: tag["Value"] for tag in tags}))
